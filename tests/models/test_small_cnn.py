"""Our own backbone must behave like one of timm's."""

import pytest
import torch

from foveate.models import small_cnn  # noqa: F401  (registers it)
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig

import timm  # isort: skip


def test_timm_finds_it_and_features_only_agrees_with_its_stages() -> None:
    network = timm.create_model("foveate_small_cnn", num_classes=7).eval()
    images = torch.randn(2, 3, 96, 96)
    assert network(images).shape == (2, 7)
    features = timm.create_model("foveate_small_cnn", features_only=True, out_indices=(0, 1, 2, 3)).eval()
    maps = features(images)
    assert [m.shape[1] for m in maps] == features.feature_info.channels()
    assert [96 // m.shape[2] for m in maps] == features.feature_info.reduction()
    assert maps[-1].shape[2] == 12


def test_it_is_as_small_as_promised() -> None:
    network = timm.create_model("foveate_small_cnn", num_classes=0)
    assert 200_000 <= sum(p.numel() for p in network.parameters()) <= 400_000


def test_logits_are_the_linear_layer_of_the_pooled_map() -> None:
    network = timm.create_model("foveate_small_cnn", num_classes=3, widths=(4, 6), strides=(2, 1)).eval()
    images = torch.randn(2, 3, 8, 10)
    feature_map = network.forward_features(images)
    assert feature_map.shape == (2, 6, 4, 5)
    torch.testing.assert_close(network(images), network.fc(feature_map.flatten(2).mean(2)))
    network.reset_classifier(0)
    torch.testing.assert_close(network(images), feature_map.mean((2, 3)))


def test_it_is_a_backbone_like_any_other() -> None:
    model = build_network(ModelConfig(backbone="foveate_small_cnn", weights="none"), 6, None, seed=0)
    assert (model.input_size, model.num_features) == (96, 160)
    output = model(torch.randn(2, 3, 96, 96), taps=["early", "late"])
    assert output.logits.shape == (2, 6)
    assert output.taps["late"].shape == (2, 160, 12, 12)


def test_it_learns_two_kinds_of_stripes() -> None:
    model = build_network(ModelConfig(backbone="foveate_small_cnn", weights="none"), 2, 32, seed=0)
    generator = torch.Generator().manual_seed(0)
    stripes = (torch.arange(32) % 8 < 4).float().expand(3, 32, 32)
    targets = torch.arange(32) % 2
    images = torch.stack([stripes if t else stripes.mT for t in targets.tolist()])
    images = images + 0.3 * torch.randn(images.shape, generator=generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(model(images).logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model(images).logits.argmax(1) == targets).all()


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="must match"):
        timm.create_model("foveate_small_cnn", widths=(4, 6))
    with pytest.raises(ValueError, match="average only"):
        timm.create_model("foveate_small_cnn").reset_classifier(3, "max")
