"""The plant-species report's second network."""

import pytest
import torch

from foveate.models.build import build_network
from foveate.models.settings import ModelConfig
from foveate.papers.plants.networks import InceptionModule

import timm  # isort: skip


def test_a_module_is_its_branches_side_by_side() -> None:
    module = InceptionModule(5, (2, (3, 4), (1, 6), 7)).eval()
    x = torch.randn(2, 5, 9, 9)
    found = module(x)
    assert found.shape == (2, 2 + 4 + 6 + 7, 9, 9)
    assert module.width == 19
    parts = (module.one(x), module.three(x), module.five(x), module.pool(x))
    assert torch.equal(found, torch.cat(parts, dim=1))
    kernels = [m.kernel_size for m in module.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels == [(1, 1), (1, 1), (3, 3), (1, 1), (5, 5), (1, 1)]


def test_parameters_of_the_default() -> None:
    """GoogLeNet's modules 3a (behind 32 channels) and 3b, counted by hand, with the biases."""
    model = build_network(ModelConfig(backbone="foveate_inception_like", weights="none"), 8, None, seed=0)
    stem = 5 * 5 * 3 * 32
    first = 32 * (64 + 96 + 16 + 32) + 9 * 96 * 128 + 25 * 16 * 32
    second = 256 * (128 + 128 + 32 + 64) + 9 * 128 * 192 + 25 * 32 * 96
    biases = 32 + (64 + 96 + 128 + 16 + 32 + 32) + (128 + 128 + 192 + 32 + 96 + 64)
    head = 481 * 8
    assert sum(p.numel() for p in model.parameters()) == stem + first + second + biases + head == 525_432
    assert (model.input_size, model.num_features) == (96, 480)


def test_the_average_makes_it_blind_to_the_size() -> None:
    network = timm.create_model("foveate_inception_like", num_classes=3).eval()
    images = torch.randn(2, 3, 32, 40)
    feature_map = network.forward_features(images)
    assert feature_map.shape == (2, 480, 4, 5)
    torch.testing.assert_close(network(images), network.fc(feature_map.flatten(2).mean(2)))
    features = timm.create_model("foveate_inception_like", features_only=True, out_indices=(0, 1, 2))
    maps = features(torch.randn(2, 3, 32, 32))
    assert [m.shape[1] for m in maps] == features.feature_info.channels()
    assert [32 // m.shape[2] for m in maps] == features.feature_info.reduction()
    with pytest.raises(ValueError, match="average only"):
        network.reset_classifier(3, "max")
