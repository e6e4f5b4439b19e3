"""The plant-species report's first network."""

import pytest
import torch
from torch.nn import functional

import foveate.papers  # noqa: F401 (registers the network)
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig

import timm  # isort: skip


def test_it_has_almost_two_and_a_half_million_parameters() -> None:
    """Counted by hand: 3x3 kernels and biases, then 12 * 12 * 128 values into 128 units, then 8 classes."""
    model = build_network(ModelConfig(backbone="foveate_three_conv", weights="none"), 8, None, seed=0)
    convolutions = (9 * 3 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 128
    dense = (12 * 12 * 128 + 1) * 128 + (128 + 1) * 8
    assert sum(p.numel() for p in model.parameters()) == convolutions + dense == 2_453_704
    assert (model.input_size, model.num_features) == (96, 128)


def test_logits_are_what_the_layers_say() -> None:
    network = timm.create_model("foveate_three_conv", num_classes=3, img_size=16, widths=(4, 6), hidden=5)
    images = torch.randn(2, 3, 16, 16)
    x = images
    for stage in network.stages:
        x = functional.max_pool2d(functional.conv2d(x, stage[0].weight, stage[0].bias, padding=1).relu(), 2)
    hidden = functional.linear(x.flatten(1), network.hidden[1].weight, network.hidden[1].bias).relu()
    torch.testing.assert_close(network(images), network.fc(hidden))
    network.reset_classifier(0)
    torch.testing.assert_close(network(images), hidden)


def test_taps_and_features_only() -> None:
    model = build_network(ModelConfig(backbone="foveate_three_conv", weights="none"), 8, 32, seed=0)
    output = model(torch.randn(2, 3, 32, 32), taps=["early", "late"])
    assert output.logits.shape == (2, 8)
    assert output.taps["early"].shape == (2, 32, 16, 16)
    assert output.taps["late"].shape == (2, 128, 4, 4)
    features = timm.create_model("foveate_three_conv", features_only=True, out_indices=(0, 1, 2))
    maps = features(torch.randn(1, 3, 96, 96))
    assert [m.shape[1] for m in maps] == features.feature_info.channels()
    assert [96 // m.shape[2] for m in maps] == features.feature_info.reduction()


def test_it_is_built_for_one_size() -> None:
    with pytest.raises(ValueError, match="leave nothing"):
        timm.create_model("foveate_three_conv", img_size=4)
    with pytest.raises(ValueError, match="cannot pool"):
        timm.create_model("foveate_three_conv").reset_classifier(3, "avg")
