"""The printed network against what its modules are and return."""

import pytest
import torch

from foveate.models.build import build_network
from foveate.models.heads import MlpHead
from foveate.models.settings import ModelConfig
from foveate.models.summary import summarise_network


def test_the_first_network_of_the_report_line_by_line() -> None:
    model = build_network(ModelConfig(backbone="foveate_three_conv", weights="none"), 8, 96, seed=0)
    summary = summarise_network(model)
    assert [(row.kind, row.shape, row.parameters) for row in summary.rows] == [
        ("Conv2d", (32, 96, 96), 896),
        ("MaxPool2d", (32, 48, 48), 0),
        ("Conv2d", (64, 48, 48), 18_496),
        ("MaxPool2d", (64, 24, 24), 0),
        ("Conv2d", (128, 24, 24), 73_856),
        ("MaxPool2d", (128, 12, 12), 0),
        ("Flatten", (18_432,), 0),
        ("Linear", (128,), 2_359_424),
        ("Linear", (8,), 1_032),
    ]
    assert summary.text().endswith("2,453,704 parameters")
    assert "128 x 24 x 24" in summary.text()


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "foveate_small_cnn"])
def test_rows_sum_to_the_whole_and_fit_on_a_screen(name: str) -> None:
    model = build_network(ModelConfig(backbone=name, weights="none"), 5, 64, seed=0)
    model.head.train()
    model.backbone.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    summary = summarise_network(model)
    assert summary.parameters == sum(p.numel() for p in model.parameters())
    assert sum(row.parameters for row in summary.rows) == summary.parameters
    assert 3 <= len(summary.rows) <= 25
    assert summary.rows[-1].shape == (5,)
    assert model.head.training
    assert not model.backbone.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_convnext_large_with_the_reports_head_has_its_197_812_424_parameters() -> None:
    config = ModelConfig(backbone="convnext_large", weights="none", head=MlpHead.Config())
    with torch.device("meta"):
        summary = summarise_network(build_network(config, classes=8, size=224, seed=0))
    assert summary.parameters == 197_812_424
    counts = [row.parameters for row in summary.rows]
    assert counts[-2:] == [1_573_888, 8_200]
    assert sum(counts[:-2]) == 196_230_336
