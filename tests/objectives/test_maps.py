"""Maps: scales, Grad-CAM and CAM against loops; maps without content; half precision."""

import numpy as np
import pytest
import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.explanation.maps import class_maps, min_max, tap_gradients
from foveate.models.heads import DeepHead, LinearHead
from foveate.models.output import Output
from foveate.objectives.maps import ClassActivation, z_score


def batch_of(targets: torch.Tensor) -> Batch:
    n = len(targets)
    return Batch(
        torch.zeros(n, 3, 8, 8), targets, torch.ones(n, 1, 8, 8), torch.ones(n, dtype=torch.bool), torch.arange(n)
    )  # fmt: skip


def pooled(head: nn.Module, seed: int = 0, channels: int = 4) -> tuple[Output, torch.Tensor]:
    tap = torch.randn(3, channels, 5, 6, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    return Output(head(tap.mean((2, 3))), taps={"late": tap}), tap


@pytest.mark.parametrize("scale", [min_max, z_score])
@pytest.mark.parametrize("value", [0.0, 5.0, -3e-4, 1e6])
def test_a_constant_map_becomes_zero_and_gets_no_gradient(scale, value: float) -> None:  # type: ignore[no-untyped-def]
    maps = torch.full((2, 7, 7), value)
    maps[1] = torch.randn(7, 7, generator=torch.Generator().manual_seed(0))
    maps.requires_grad_()
    scaled = scale(maps)
    assert scaled[0].abs().max() == 0
    (gradient,) = torch.autograd.grad((scaled - 0.3).square().sum(), maps)
    assert gradient[0].abs().max() == 0
    assert gradient.isfinite().all()
    assert gradient[1].abs().max() > 0


def test_rounding_is_no_content() -> None:
    tap = torch.full((1, 300, 7, 7), 0.1) + 1e-8 * torch.randn(1, 300, 7, 7)
    assert min_max(tap.mean(1) * 1e3).abs().max() == 0


@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e12])
def test_scales_do_not_depend_on_the_maps_unit(factor: float) -> None:
    maps = torch.randn(3, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for scale in (min_max, z_score):
        assert torch.allclose(scale(factor * maps + factor), scale(maps), atol=1e-9)
    assert torch.equal(min_max(maps).amax((1, 2)), torch.ones(3, dtype=torch.float64))


def test_class_map_against_a_loop() -> None:
    g = torch.Generator().manual_seed(3)
    tap = torch.randn(3, 4, 5, 5, generator=g, dtype=torch.float64, requires_grad=True)
    place = torch.rand(5, 5, generator=g, dtype=torch.float64)
    weight = torch.randn(4, 2, generator=g, dtype=torch.float64)
    logits = (tap.tanh() * place).mean((2, 3)) @ weight  # not pooled evenly, not linear
    targets = torch.tensor([1, 0, 1])
    (maps,) = class_maps(Output(logits, taps={"late": tap}), targets, ("late",))
    (signed,) = class_maps(Output(logits, taps={"late": tap}), targets, ("late",), signed=True)
    values = tap.detach().numpy()
    for i, y in enumerate(targets.tolist()):
        expected = np.zeros((5, 5))
        for k in range(4):
            slope = weight[k, y].item() * place.numpy() * (1 - np.tanh(values[i, k]) ** 2) / 25
            expected += slope.mean() * values[i, k]
        assert np.allclose(maps[i].detach().numpy(), np.maximum(expected, 0))
        assert np.allclose(signed[i].detach().numpy(), expected)


def test_mixed_targets_mix_the_classes_evidence() -> None:
    output, _ = pooled(LinearHead(LinearHead.Config(dropout=0.0), 4, 2))
    one, two = (tap_gradients(output, torch.full((3,), y), ("late",))[0] for y in (0, 1))
    (mixed,) = tap_gradients(output, torch.tensor([[0.3, 0.7]] * 3), ("late",))
    assert torch.allclose(mixed, 0.3 * one + 0.7 * two)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_cam_is_the_heads_weights_times_the_tap(mode: str) -> None:
    head = LinearHead(LinearHead.Config(dropout=0.5), 4, 2).train(mode == "train")
    output, tap = pooled(head, seed=4)
    targets = torch.tensor([1, 0, 1])
    (maps,) = ClassActivation(head)(output, batch_of(targets), ("late",))
    weight = head.classifier.weight
    if mode == "eval":
        for i, y in enumerate(targets.tolist()):
            expected = sum(weight[y, k] * tap[i, k] for k in range(4))
            assert torch.allclose(maps[i], expected, atol=1e-5)  # type: ignore[arg-type]
    # In both modes it adds up to the very logit that was predicted, so dropout is in it.
    own = output.logits.gather(1, targets[:, None])[:, 0] - head.classifier.bias[targets]
    assert torch.allclose(maps.mean((1, 2)), own, atol=1e-5)
    (gradient,) = torch.autograd.grad(maps.square().sum(), weight)
    assert gradient.abs().sum() > 0


def test_cam_is_refused_where_it_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="one linear layer"):
        ClassActivation(DeepHead(DeepHead.Config(), 4, 2))
    with pytest.raises(ConfigError, match="one linear layer"):
        ClassActivation(None)
    head = LinearHead(LinearHead.Config(dropout=0.0), 4, 2)
    batch = batch_of(torch.tensor([0, 1, 0]))
    tap = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(5), requires_grad=True)
    wrong = {
        "greatest instead of mean": head(tap.amax((2, 3))),
        "normalised after the mean": head(nn.functional.layer_norm(tap.mean((2, 3)), (4,))),
        "a layer between": head(nn.functional.conv2d(tap, torch.eye(4)[[1, 0, 3, 2], :, None, None]).mean((2, 3))),
    }  # fmt: skip
    for logits in wrong.values():
        with pytest.raises(ConfigError, match="mean of tap 'late'"):
            ClassActivation(head)(Output(logits, taps={"late": tap}), batch, ("late",))
    wide = torch.randn(3, 8, 5, 5, requires_grad=True)
    output = Output(head(wide[:, :4].mean((2, 3))), taps={"late": wide})
    with pytest.raises(ConfigError, match="mean of tap 'late'"):
        ClassActivation(head)(output, batch, ("late",))


def test_taps_without_influence_are_named() -> None:
    tap = torch.randn(2, 4, 5, 5, requires_grad=True)
    beside = torch.randn(2, 4, 5, 5, requires_grad=True)
    output = Output(tap.mean((2, 3)), taps={"late": tap, "beside": beside, "frozen": beside.detach()})
    for name in ("beside", "frozen"):
        with pytest.raises(ConfigError, match=f"tap '{name}'"):
            class_maps(output, torch.tensor([0, 1]), ("late", name))


def test_half_precision_taps_give_single_precision_maps() -> None:
    head = LinearHead(LinearHead.Config(dropout=0.0), 4, 2)
    output, tap = pooled(head, seed=6)
    with torch.autocast("cpu", torch.bfloat16):
        half = tap.bfloat16()
        coarse = Output(head(half.mean((2, 3))), taps={"late": half})
    batch = batch_of(torch.tensor([0, 1, 1]))
    cam = ClassActivation(head)
    for (fine,), (rough,) in (
        (class_maps(output, batch.targets, ("late",)), class_maps(coarse, batch.targets, ("late",))),
        (cam(output, batch, ("late",)), cam(coarse, batch, ("late",))),
    ):
        assert rough.dtype == torch.float32
        assert torch.allclose(min_max(fine), min_max(rough), atol=0.05)
