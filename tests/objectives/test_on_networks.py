"""Every loss on real networks: gradients reach the first layer, double backward agrees with differences."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.build import build_network
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig
from foveate.objectives import LOSSES, Context, Objective, Progress

TERMS: dict[str, dict[str, Any]] = {
    **{f"{name} of {how}": {"kind": f"spatial_{name}", "aggregate": how}
       for name in ("mse", "l1", "bce", "dice", "iou", "kl", "energy") for how in ("mean", "gradcam")},
    "projection": {"kind": "spatial_bce", "aggregate": "projection", "normalise": "sigmoid"},
    "cam": {"kind": "spatial_kl", "aggregate": "cam", "tap": "stage:-1"},
    "two taps": {"kind": "spatial_energy", "tap": ["middle", "late"]},
    "reasons": {"kind": "right_reasons"},
    "share of reasons": {"kind": "right_reasons", "norm": "share", "score": "true_class"},
    "mining": {"kind": "attention_mining"},
    "counterfactual": {"kind": "counterfactual"},
}  # fmt: skip


def objective_of(model: Network, *settings: dict[str, Any]) -> Objective:
    config = {
        str(i): parse(LOSSES[value["kind"]].Config, value, source="the test") for i, value in enumerate(settings)
    }  # fmt: skip
    return Objective(config, Context(("a", "b"), (1, 1), model.head, model.tap_channels))


def network(name: str, size: int) -> Network:
    # "pooled": the head receives the mean of the last map, so that CAM exists in both networks.
    config = ModelConfig(backbone=name, weights="none", features="pooled")
    return build_network(config, classes=2, size=size, seed=0)


def batch_of(size: int) -> Batch:
    g = torch.Generator().manual_seed(1)
    masks = torch.zeros(3, 1, size, size)
    masks[..., size // 4 : size // 2, size // 4 : size // 2] = 1
    images = torch.randn(3, 3, size, size, generator=g)
    return Batch(images, torch.tensor([0, 1, 1]), masks, torch.tensor([True, True, False]), torch.arange(3))


def total(model: Network, objective: Objective, batch: Batch) -> torch.Tensor:
    batch = objective.prepare(batch.replace(images=batch.images.clone()))
    output = model(batch.images, taps=objective.taps, differentiable=objective.differentiates)
    output = replace(output, again=lambda images: model(images).logits)
    return torch.stack(list(objective(output, batch, Progress()).values())).sum()


@pytest.fixture(scope="module", params=["foveate_small_cnn", "mobilenetv3_small_050"])
def model(request: pytest.FixtureRequest) -> Network:
    return network(request.param, 64)


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["single", "half"])
def test_gradients_reach_the_first_layer(model: Network, name: str, dtype: torch.dtype) -> None:
    objective = objective_of(model.train(), TERMS[name])
    batch = batch_of(64)
    model.zero_grad()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        batch = objective.prepare(batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            output = model(batch.images, taps=objective.taps, differentiable=objective.differentiates)
        output = replace(output, again=lambda images: model(images).logits)
        (value,) = objective(output, batch, Progress()).values()
    assert value.dtype == torch.float32
    assert value.isfinite()
    value.backward()
    first = next(model.backbone.parameters())
    assert first.grad is not None
    assert first.grad.abs().max() > 0
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    for parameter in objective.parameters():
        assert parameter.grad is not None


@pytest.mark.parametrize("name", TERMS)
def test_slope_along_a_direction_is_that_of_differences(model: Network, name: str) -> None:
    """float64, eval mode: (loss(θ + h d) - loss(θ - h d)) / 2h against gradient · d."""
    model = network(model.card.architecture, 64).eval()
    objective, batch = objective_of(model, TERMS[name]).double(), batch_of(64)
    model.double()
    batch = batch.replace(images=batch.images.double(), masks=batch.masks.double())
    parameters = [p for p in model.parameters() if p.requires_grad]
    value = total(model, objective, batch)
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    g = torch.Generator().manual_seed(3)
    direction = [
        torch.randn(p.shape, generator=g, dtype=p.dtype) * p.detach().abs().mean() for p in parameters
    ]
    expected = sum(float((a * d).sum()) for a, d in zip(gradients, direction, strict=True) if a is not None)
    h, sides = 1e-6, []
    for sign in (1, -2):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.add_(d, alpha=sign * h)
        sides.append(total(model, objective, batch).item())
    assert expected != 0
    # Networks of ReLUs have kinks; a step so small rarely meets one.
    assert (sides[0] - sides[1]) / (2 * h) == pytest.approx(expected, rel=2e-3, abs=1e-8)


def test_tap_channels_are_counted_and_modes_stay(model: Network) -> None:
    model.train()
    model.backbone.eval()
    modes = [module.training for module in model.modules()]
    output = model(torch.zeros(2, 3, 64, 64), taps=("early", "late"))
    assert {tap: model.tap_channels(tap) for tap in ("early", "late")} == {
        tap: values.shape[1] for tap, values in output.taps.items()
    }
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(ConfigError, match="nothing"):
        model.tap_channels("nothing")
    assert [module.training for module in model.modules()] == modes


def test_cam_is_refused_below_a_network_with_more_layers() -> None:
    config = ModelConfig(backbone="mobilenetv3_small_050", weights="none")  # a convolution after the mean
    model = build_network(config, classes=2, size=64, seed=0)
    objective = objective_of(model, {"kind": "spatial_mse", "aggregate": "cam"})
    with pytest.raises(ConfigError, match=r"model\.features=pooled"):
        total(model, objective, batch_of(64))
