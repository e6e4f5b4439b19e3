"""The attention branch network against a reading of the paper, layer by layer; its map can be taught."""

from pathlib import Path
from typing import Any

import pytest
import torch

from foveate.core.config import parse
from foveate.data.batch import Batch
from foveate.models.build import build_network
from foveate.models.networks import NETWORKS
from foveate.models.settings import ModelConfig
from foveate.models.store import load_model, save_model
from foveate.objectives import LOSSES, Context, Objective, Progress

SIDE = 48


def network(backbone: str = "resnet10t", seed: int = 1, **settings: Any) -> Any:
    config = NETWORKS["attention_branch"].Config(width=8, **settings)
    return build_network(ModelConfig(backbone=backbone, weights="none", network=config), 3, SIDE, seed)


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def test_features_are_multiplied_by_the_map_before_the_last_stage() -> None:
    model, pictures = network().eval(), images()
    backbone = model.backbone
    with torch.no_grad():
        found = model(pictures, taps=("attention",))
        x = backbone.maxpool(backbone.act1(backbone.bn1(backbone.conv1(pictures))))
        x = backbone.layer3(backbone.layer2(backbone.layer1(x)))
        shown = model.shown(x)
        logits = torch.stack([model.classes(shown)[:, c].flatten(1).mean(dim=1) for c in range(3)], dim=1)
        attention = 1 / (1 + torch.exp(-model.map[1](model.map[0](shown))))
        last = backbone.layer4(x * attention + x)
        answer = last.mean((2, 3)) @ model.classifier.weight.T + model.classifier.bias
    torch.testing.assert_close(found.branches["attention"], logits)
    torch.testing.assert_close(found.taps["attention"], attention)
    torch.testing.assert_close(found.logits, answer)
    torch.testing.assert_close(model.drawings(pictures)["attention"], attention[:, 0])
    assert list(found.taps) == ["attention"]


@pytest.mark.parametrize(
    "backbone", ["mobilenetv3_small_050", "convnext_atto", "densenet121", "foveate_small_cnn"]
)
def test_it_stands_on_any_backbone_and_taps_of_both_sorts_go_together(backbone: str) -> None:
    model = network(backbone).eval()
    found = model(images(), taps=("late", "attention"))
    assert found.logits.shape == (2, 3)
    assert found.taps["attention"].shape[:2] == (2, 1)
    assert model.tap_channels("attention") == 1
    assert found.taps["late"].shape[1] == model.tap_channels("late")


def test_a_mask_teaches_the_map() -> None:
    model = network(dropout=0.0)
    settings = {
        "classification": {"kind": "cross_entropy"},
        "branch": {"kind": "cross_entropy", "on": "attention"},
        "edited": {"kind": "spatial_mse", "tap": "attention", "normalise": "none", "weight": 10},
    }
    config = {
        name: parse(LOSSES[value["kind"]].Config, value, source="the test")
        for name, value in settings.items()
    }
    objective = Objective(
        config, Context(("a", "b", "c"), (1, 1, 1), None, model.tap_channels, branches=model.branches)
    )
    masks = torch.zeros(4, 1, SIDE, SIDE)
    masks[:2, :, :24], masks[2:, :, :, 24:] = 1, 1
    batch = Batch(
        images(4), torch.tensor([0, 1, 2, 0]), masks, torch.ones(4, dtype=torch.bool), torch.arange(4)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    seen = []
    for _ in range(30):
        output = model.train()(batch.images, taps=objective.taps)
        terms = objective(output, batch, Progress())
        optimizer.zero_grad()
        objective.weigh(terms, output, Progress()).total.backward()
        optimizer.step()
        seen.append({name: value.item() for name, value in terms.items()})
    assert set(seen[0]) == set(settings)
    assert seen[-1]["edited"] < 0.3 * seen[0]["edited"]
    assert seen[-1]["branch"] < seen[0]["branch"]


def test_saved_and_loaded_it_says_the_same(tmp_path: Path) -> None:
    model, pictures = network().eval(), images()
    save_model(model, tmp_path, class_names=("a", "b", "c"))
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path).eval()(pictures).logits, model(pictures).logits)
