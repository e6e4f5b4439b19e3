"""Taps against timm's own ``forward_intermediates``, against plain forward passes, and their gradients."""

from typing import Any

import pytest
import torch
from torch import nn

from foveate.core import torchvision_guard  # noqa: F401
from foveate.core.errors import ConfigError
from foveate.models.feature_maps import to_map
from foveate.models.layer_names import resolve_tap
from foveate.models.taps import capture_taps, edit_tap

import timm  # isort: skip

SMALL_SWIN = {"embed_dim": 24, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 3, 4)}

# Maps, NHWC, tokens with and without prefix, several tensors, permuted tokens, odd feature_info.
FAMILIES: list[tuple[str, int, dict[str, Any]]] = [
    ("resnet18", 64, {}),
    ("mobilenetv3_small_100", 64, {}),
    ("efficientnet_b0", 64, {}),
    ("test_convnext", 64, {}),
    ("densenet121", 64, {"block_config": (2, 2, 2, 2)}),
    ("test_byobnet", 64, {}),
    ("test_nfnet", 64, {}),
    ("regnetx_002", 64, {}),
    ("test_vit", 64, {"img_size": 64}),
    ("test_vit3", 64, {"img_size": 64}),
    ("deit_tiny_distilled_patch16_224", 64, {"img_size": 64, "depth": 3}),
    ("eva02_tiny_patch14_224", 56, {"img_size": 56, "depth": 2}),
    ("beit_base_patch16_224", 64, {"img_size": 64, "depth": 2, "embed_dim": 24, "num_heads": 2}),
    ("cait_xxs24_224", 64, {"img_size": 64, "depth": 2}),
    ("xcit_nano_12_p16_224", 64, {"img_size": 64, "depth": 2}),
    ("mixer_s32_224", 64, {"img_size": 64}),
    ("swin_tiny_patch4_window7_224", 64, {"img_size": 64, **SMALL_SWIN}),
    ("swinv2_tiny_window8_256", 64, {"img_size": 64, **SMALL_SWIN}),
    ("test_mambaout", 64, {}),
    ("test_maxvit", 64, {"img_size": 64}),
    ("test_coatnet", 64, {"img_size": 64}),
    ("levit_128s", 64, {"img_size": 64}),
    ("pit_ti_224", 64, {"img_size": 64}),
    ("mvitv2_tiny", 64, {"img_size": 64}),
    ("twins_pcpvt_small", 64, {"img_size": 64, "depths": (2, 2, 2, 2)}),
    ("hiera_tiny_224", 64, {"img_size": 64}),
    ("crossvit_9_240", 240, {"depth": ((1, 1, 0), (1, 1, 0), (1, 1, 0))}),
    ("coat_tiny", 64, {"img_size": 64}),
    ("efficientformer_l1", 224, {}),
]


def create(name: str, **kwargs: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model(name, num_classes=0, **kwargs).eval()


def pictures(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "size", "kwargs"), FAMILIES, ids=[family[0] for family in FAMILIES])
def test_stages_equal_forward_intermediates(name: str, size: int, kwargs: dict[str, Any]) -> None:
    network, images = create(name, **kwargs), pictures(size, size)
    plain = network(images)
    truth = network.forward_intermediates(images, output_fmt="NCHW", intermediates_only=True)
    names = [f"stage:{k}" for k in range(len(truth))]
    with capture_taps(network, names, images) as maps:
        tapped = network(images)
    torch.testing.assert_close(tapped, plain)
    for name, expected in zip(names, truth, strict=True):
        torch.testing.assert_close(maps[name], expected, rtol=1e-4, atol=1e-5)
        assert maps[name].requires_grad


@pytest.mark.parametrize(
    ("name", "size", "kwargs"),
    [
        ("resnet18", (64, 96), {}),
        ("test_vit", (64, 96), {"dynamic_img_size": True}),
        ("test_vit3", (96, 64), {"img_size": (96, 64)}),
        ("swin_tiny_patch4_window7_224", (64, 128), {"img_size": (64, 128), **SMALL_SWIN}),
    ],
)
def test_pictures_that_are_not_square(name: str, size: tuple[int, int], kwargs: dict[str, Any]) -> None:
    network, images = create(name, **kwargs), pictures(*size)
    truth = network.forward_intermediates(images, output_fmt="NCHW", intermediates_only=True)
    with capture_taps(network, ["stage:-1"], images) as maps:
        network(images)
    torch.testing.assert_close(maps["stage:-1"], truth[-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mobilenetv3_small_100", "tf_mobilenetv3_small_100"])
def test_the_three_points_of_the_learn_2_look_report(name: str) -> None:
    network, images = create(name), pictures(224, 224)
    with capture_taps(network, ["early", "middle", "late"], images) as maps:
        network(images)
    shapes = {name: tuple(feature_map.shape[1:]) for name, feature_map in maps.items()}
    assert shapes == {"early": (40, 14, 14), "middle": (48, 14, 14), "late": (96, 7, 7)}
    assert resolve_tap(network, "late") == "blocks.4.1.conv_pwl"


def test_presets_follow_the_stages_or_the_depth() -> None:
    paths = [resolve_tap(create("resnet18"), preset) for preset in ("early", "middle", "late")]
    assert paths == ["layer2", "layer3", "layer4"]
    vit = create("vit_tiny_patch16_224", embed_dim=12, num_heads=1)
    assert [resolve_tap(vit, p) for p in ("early", "middle", "late")] == ["blocks.3", "blocks.7", "blocks.11"]


def test_tokens_go_to_the_right_place_of_the_grid() -> None:
    """Only one patch of the picture differs; only its cell of the first embedding may differ."""
    network, images = create("test_vit", dynamic_img_size=True), pictures(64, 96)
    changed = images.clone()
    changed[:, :, 16:32, 80:96] += 1.0  # row 1, column 5 of 16 px patches
    with torch.no_grad():
        with capture_taps(network, ["norm_pre"], images) as before:
            network(images)
        with capture_taps(network, ["norm_pre"], changed) as after:
            network(changed)
    difference = (after["norm_pre"] - before["norm_pre"]).abs().sum((0, 1))
    assert difference.shape == (4, 6)
    assert difference.nonzero().tolist() == [[1, 5]]


def test_a_map_survives_in_place_operations_after_it() -> None:
    """In the residual block the tapped convolution's sum and activation are computed in place."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.act = nn.ReLU(inplace=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(self.conv(x)).mean((2, 3))

    network, images = Block(), pictures(8, 8)
    with capture_taps(network, ["conv"], images) as maps:
        network(images)
    torch.testing.assert_close(maps["conv"], network.conv(images))
    assert (maps["conv"] < 0).any()


@pytest.mark.parametrize(
    ("name", "tap", "kwargs"),
    [
        ("test_resnet", "layer4", {}),
        ("test_vit2", "blocks.3", {"img_size": 64}),
        ("test_mambaout", "stage:-2", {}),
    ],
)
def test_gradients_of_the_output_reach_the_map(name: str, tap: str, kwargs: dict[str, Any]) -> None:
    """Directional derivative against a finite difference made with an ordinary hook."""
    network, images = create(name, **kwargs).double(), pictures(64, 64).double()
    with capture_taps(network, [tap], images) as maps:
        output = network(images)[:, 0].sum()
    (gradient,) = torch.autograd.grad(output, maps[tap])
    direction = torch.randn_like(gradient)
    module = network.get_submodule(resolve_tap(network, tap))

    def shifted(step: float) -> float:
        def hook(_: nn.Module, __: Any, out: torch.Tensor) -> torch.Tensor:
            if out.ndim == 3:  # tokens: leave the class token alone
                move = torch.cat([torch.zeros_like(out[:, :1]), direction.flatten(2).transpose(1, 2)], 1)
            else:
                move = direction.permute(0, 2, 3, 1) if name == "test_mambaout" else direction
            return out + step * move

        handle = module.register_forward_hook(hook)
        with torch.no_grad():
            value = network(images)[:, 0].sum().item()
        handle.remove()
        return value

    numeric = (shifted(1e-4) - shifted(-1e-4)) / 2e-4
    assert (gradient * direction).sum().item() == pytest.approx(numeric, rel=1e-4)


def test_gradients_of_a_loss_on_the_map_reach_the_first_layers() -> None:
    network, images = create("test_vit", img_size=64), pictures(64, 64)
    with capture_taps(network, ["late"], images) as maps:
        network(images)
    maps["late"].square().mean().backward()
    assert network.patch_embed.proj.weight.grad.abs().sum() > 0


def test_a_frozen_network_gives_gradients_from_the_tap_on() -> None:
    network, images = create("test_resnet").requires_grad_(False), pictures(64, 64)
    with capture_taps(network, ["layer3"], images, require_grad=True) as maps:
        output = network(images)
    assert maps["layer3"].is_leaf
    assert torch.autograd.grad(output.sum(), maps["layer3"])[0].abs().sum() > 0


def test_hooks_are_always_removed() -> None:
    network, images = create("test_resnet"), pictures(64, 64)
    with pytest.raises(ZeroDivisionError), capture_taps(network, ["layer1", "layer2"], images):
        raise ZeroDivisionError
    with pytest.raises(ConfigError), capture_taps(network, ["layer1", "nonsense"], images):
        pass
    with capture_taps(network, ["layer1"], images):
        network(images)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("tap", "words"),
    [
        ("layer33", "no module 'layer33'; did you mean layer3"),
        ("stage:9", "has 5 stages; write stage:K with K from -5 to 4"),
        ("stage:last", "has 5 stages"),
        ("", "has no module ''"),
    ],
)
def test_unknown_taps_are_named(tap: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve_tap(create("test_resnet"), tap)


def test_modules_without_a_map_are_refused() -> None:
    images = pictures(64, 64)
    network = create("test_resnet")
    with (
        pytest.raises(ConfigError, match=r"a tensor \(2, 96\), which is no map"),
        capture_taps(network, ["global_pool"], images),
    ):
        network(images)
    with pytest.raises(ConfigError, match="never called"), capture_taps(network, ["layer1"], images):
        pass
    windows = create("swin_tiny_patch4_window7_224", img_size=64, **SMALL_SWIN)
    with (
        pytest.raises(ConfigError, match="no map"),
        capture_taps(windows, ["layers.0.blocks.0.attn"], images),
    ):
        windows(images)  # attention inside windows: its first axis is no longer the picture


def test_forward_features_as_a_map() -> None:
    for name, kwargs in (("test_vit", {"img_size": 64}), ("test_mambaout", {}), ("test_resnet", {})):
        network, images = create(name, **kwargs), pictures(64, 64)
        features = network.forward_features(images)
        feature_map = to_map(network, "", features, images)
        assert feature_map.shape[1] == network.num_features
        if name == "test_vit":
            torch.testing.assert_close(feature_map.mean((2, 3)), features[:, 1:].mean(1))
        elif name == "test_mambaout":
            torch.testing.assert_close(feature_map, features.permute(0, 3, 1, 2))


class Twice(nn.Module):
    """Runs its backbone over the pictures, then over two crops of each; logits of all three passes together."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = create("test_resnet")
        self.fc = nn.Linear(self.backbone.num_features, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        crops = torch.stack([images[:, :, :32, :32], images[:, :, 32:, 32:]], dim=1).flatten(0, 1)
        whole, parts = self.fc(self.backbone(images)), self.fc(self.backbone(crops))
        return whole + parts.unflatten(0, (-1, 2)).sum(dim=1)


@pytest.mark.parametrize("frozen", [False, True])
def test_the_first_call_counts_where_a_backbone_runs_again(frozen: bool) -> None:
    network, images = Twice().eval(), pictures(64, 64)
    with capture_taps(network.backbone, ["layer2"], images) as expected:
        network.backbone(images)
    plain = network(images)
    network.requires_grad_(not frozen)
    with capture_taps(network.backbone, ["layer2"], images, require_grad=True) as maps:
        logits = network(images)
    assert torch.equal(maps["layer2"], expected["layer2"])
    assert torch.equal(logits, plain)
    # The crops' logits do not depend on the map: its gradient is that of the pass over the whole picture alone.
    later = network.fc(network.backbone.forward_head(_after_layer2(network.backbone, maps["layer2"])))
    found, alone = (torch.autograd.grad(x.sum(), maps["layer2"])[0] for x in (logits, later))
    torch.testing.assert_close(found, alone)


def _after_layer2(backbone: Any, feature_map: torch.Tensor) -> torch.Tensor:
    return backbone.layer4(backbone.layer3(feature_map))


def test_an_edit_is_of_the_first_call_alone() -> None:
    network, images = Twice().eval(), pictures(64, 64)
    with edit_tap(network.backbone, "layer4", images, torch.zeros_like):
        edited = network(images)
    nothing = network.fc(torch.zeros(2, network.backbone.num_features))
    torch.testing.assert_close(
        edited, network(images) - network.fc(network.backbone(images)) + nothing, rtol=0, atol=1e-5
    )
