"""The classifier against timm's own forward pass, over families; seeds, sizes and absent parts."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from foveate.core.errors import ConfigError, WeightsError
from foveate.core.files import write_json
from foveate.models.build import build_network
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig

import timm  # isort: skip

FAMILIES = [
    ("test_resnet", 64),
    ("test_efficientnet", 64),
    ("test_convnext", 64),
    ("test_vit", 96),
    ("test_vit3", 64),
    ("test_maxvit", 64),
    ("test_mambaout", 64),
    ("test_byobnet", 64),
    ("mobilenetv3_small_100", 64),
    ("deit_tiny_distilled_patch16_224", 64),
    ("swin_tiny_patch4_window7_224", 64),
    ("levit_128s", 96),
    ("coat_lite_tiny", 64),
]


def random(name: str, size: int | None = 64, classes: int = 3, seed: int = 0, **settings: Any) -> Network:
    return build_network(ModelConfig(backbone=name, weights="none", **settings), classes, size, seed)


@pytest.mark.parametrize(("name", "size"), FAMILIES)
def test_features_are_what_timm_gives_its_own_classifier(name: str, size: int) -> None:
    model = random(name, size).eval()
    images = torch.randn(2, 3, size, size)
    features = model.features(images)
    assert features.shape == (2, model.num_features)
    torch.testing.assert_close(features, model.backbone(images))  # num_classes=0: timm's pre-logits
    logits = model(images).logits
    torch.testing.assert_close(logits, model.head(features))
    assert logits.shape == (2, 3)
    assert (model.input_size, model.card.features) == (size, model.num_features)
    assert model(images, taps=["late"]).taps["late"].ndim == 4


def test_random_weights_depend_on_the_seed_only() -> None:
    torch.manual_seed(1)
    first = random("test_resnet", seed=3).state_dict()
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second, other = (random("test_resnet", seed=seed).state_dict() for seed in (3, 4))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)
    for key in ("backbone.conv1.0.weight", "head.classifier.weight"):
        assert not torch.equal(first[key], other[key])


def test_the_head_does_not_depend_on_the_backbone_s_draws() -> None:
    one, two = random("test_resnet"), random("test_resnet", backbone_kwargs={"block_args": {}})
    deeper = random("foveate_small_cnn", backbone_kwargs={"widths": (8, 96), "strides": (2, 2)})
    assert one.num_features == deeper.num_features == 96
    assert torch.equal(one.head.classifier.weight, two.head.classifier.weight)
    assert torch.equal(one.head.classifier.weight, deeper.head.classifier.weight)


def test_normalisation_comes_from_timm_unless_given() -> None:
    torch.testing.assert_close(random("resnet18").mean, torch.tensor([0.485, 0.456, 0.406]))
    model = random("resnet18", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert model.std.tolist() == [0.25] * 3
    assert "mean" not in model.state_dict()  # the card keeps them


def test_the_size_is_the_network_s_own_unless_given() -> None:
    assert random("test_vit", None).input_size == 160


def test_keyword_arguments_reach_the_backbone() -> None:
    model = random("test_resnet", backbone_kwargs={"drop_path_rate": 0.3})
    assert model.backbone.layer4[0].drop_path.drop_prob == pytest.approx(0.3)
    assert model.card.architecture_kwargs == {"drop_path_rate": 0.3}


def test_pooled_features_leave_out_what_comes_after_the_map() -> None:
    model = random("mobilenetv3_small_100", features="pooled").eval()
    images = torch.randn(2, 3, 64, 64)
    assert model.num_features == 576
    torch.testing.assert_close(model.features(images), model.backbone.forward_features(images).mean((2, 3)))
    assert model.card.absent == ("conv_head",)
    assert not any("conv_head" in name for name in model.state_dict())
    model(images).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["test_vit", "test_mambaout", "test_convnext"])
def test_pooled_features_of_other_families(name: str) -> None:
    model = random(name, features="pooled").eval()
    images = torch.randn(2, 3, 64, 64)
    features = model.backbone.forward_features(images)
    expected = {
        "test_vit": lambda: features[:, 1:].mean(1),
        "test_mambaout": lambda: features.mean((1, 2)),
        "test_convnext": lambda: features.mean((2, 3)),
    }[name]()
    torch.testing.assert_close(model.features(images), expected)


def write_weights(folder: Path, name: str, *, without: tuple[str, ...], **card: Any) -> Path:
    network = timm.create_model(name)
    tensors = {k: v for k, v in network.state_dict().items() if not k.startswith(without)}
    file = folder / "weights.safetensors"
    safetensors.torch.save_file(tensors, file)
    write_json(file.with_suffix(".json"), {"architecture": name, **card})
    return file


def test_a_part_that_the_weights_lack_is_not_used(tmp_path: Path) -> None:
    file = write_weights(
        tmp_path,
        "mobilenetv3_small_050",
        without=("conv_head", "classifier"),
        absent=["conv_head", "classifier"],
        mean=[0.5, 0.4, 0.3],
        std=[0.1, 0.2, 0.3],
        input_size=[3, 64, 64],
    )
    model = build_network(ModelConfig(weights=str(file)), 3, None, seed=0)
    assert model.feature_mode == "pooled"
    assert model.num_features == 288
    assert not any("conv_head" in name for name, _ in model.named_parameters())
    assert "conv_head" in " ".join(model.notes)
    torch.testing.assert_close(model.mean, torch.tensor([0.5, 0.4, 0.3]))
    assert model.input_size == 64
    with pytest.raises(WeightsError, match="need 'conv_head', whose weights are absent"):
        build_network(ModelConfig(weights=str(file), features="pre_logits"), 3, None, seed=0)


def test_a_part_inside_the_feature_map_cannot_be_absent(tmp_path: Path) -> None:
    file = write_weights(tmp_path, "test_efficientnet", without=("conv_head",), absent=["conv_head"])
    with pytest.raises(WeightsError, match="need 'conv_head'"):
        build_network(ModelConfig(weights=str(file)), 3, 64, seed=0)
    file = write_weights(tmp_path, "test_efficientnet", without=(), absent=["conv_haed"])
    with pytest.raises(WeightsError, match="has no such part"):
        build_network(ModelConfig(weights=str(file)), 3, 64, seed=0)


@pytest.mark.parametrize(
    ("values", "size", "words"),
    [
        ({"backbone": "resnet19"}, 64, "knows no backbone 'resnet19'; did you mean resnet1"),
        ({"backbone": None}, 64, "needs the name of a backbone"),
        (
            {"backbone": "test_resnet", "backbone_kwargs": {"num_classes": 4}},
            64,
            "may not hold 'num_classes'",
        ),
        (
            {"backbone": "test_resnet", "backbone_kwargs": {"widht": 4}},
            64,
            "cannot build 'test_resnet' .*widht",
        ),
        ({"backbone": "test_vit"}, 70, "70 px"),
        ({"backbone": "crossvit_tiny_240"}, 96, "cannot take pictures of 96 px"),
    ],
)
def test_impossible_networks_are_refused(values: dict[str, Any], size: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_network(ModelConfig(weights="none", **values), 3, size, seed=0)
