"""Spatial losses against slow, plain versions: values by loops in numpy, gradients by finite differences."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.heads import LinearHead
from foveate.models.output import Output
from foveate.objectives import LOSSES, Context, Objective, Progress
from foveate.objectives.spatial import MARGIN, SpatialTerm

PROGRESS = Progress()
CHANNELS = 4
HEAD = LinearHead(LinearHead.Config(dropout=0.0), CHANNELS, 2).double()
CONTEXT = Context(("a", "b"), (1, 1), HEAD, lambda tap: CHANNELS, seed=9)
SPATIAL = {name: loss for name, loss in LOSSES.items() if name.startswith("spatial_")}
AGGREGATES = ("mean", "max", "projection", "gradcam", "signed_gradcam", "cam")
SETTINGS = [
    (name, how, scale)
    for name, loss in SPATIAL.items()
    for how in AGGREGATES
    for scale in ("minmax", "zscore", "sigmoid", "none")
    if scale in loss.Config.scales
]


def build(name: str, **values: Any) -> SpatialTerm:
    loss = SPATIAL[name]
    term: SpatialTerm = loss(parse(loss.Config, values, source="the test"), CONTEXT).double()
    return term


def make(seed: int, size: int = 3, side: int = 5, picture: int = 20) -> tuple[Output, Batch]:
    """A tap, logits of a linear head on its mean, masks of rectangles; float64."""
    g = torch.Generator().manual_seed(seed)
    tap = torch.randn(size, CHANNELS, side, side, generator=g, dtype=torch.float64, requires_grad=True)
    masks = torch.zeros(size, 1, picture, picture, dtype=torch.float64)
    for mask in masks:
        y, x = torch.randint(0, picture - 6, (2,), generator=g).tolist()
        mask[:, y : y + 6, x : x + 5] = 1
    has_mask = torch.rand(size, generator=g) > 0.3
    targets = torch.randint(0, 2, (size,), generator=g)
    images = torch.zeros(size, 3, picture, picture)
    return output_of(tap), Batch(images, targets, masks, has_mask, torch.arange(size))


def output_of(tap: torch.Tensor) -> Output:
    return Output(HEAD(tap.mean(dim=(2, 3))), taps={"late": tap, "twice": tap * 2})


def plain_map(term: SpatialTerm, tap: np.ndarray, target: int) -> np.ndarray:
    how = term.config.aggregate
    rows = range(tap.shape[1])
    result = np.zeros(tap.shape[1:])
    for y in rows:
        for x in rows:
            channels = [float(tap[k, y, x]) for k in range(len(tap))]
            if how == "mean":
                result[y, x] = sum(channels) / len(channels)
            elif how == "max":
                result[y, x] = max(channels)
            elif how == "projection":
                convolution = term.projections[0]
                weights = convolution.weight.flatten().tolist()
                result[y, x] = convolution.bias.item() + sum(
                    w * c for w, c in zip(weights, channels, strict=True)
                )
            else:
                weights = HEAD.classifier.weight[target].tolist()
                result[y, x] = sum(w * c for w, c in zip(weights, channels, strict=True))
                if how != "cam":
                    result[y, x] /= tap[0].size
                if how == "gradcam":
                    result[y, x] = max(result[y, x], 0.0)
    return result


def plain_scale(m: np.ndarray, scale: str) -> np.ndarray:
    if scale == "minmax":
        return (m - m.min()) / (m.max() - m.min()) if m.max() > m.min() else m * 0
    if scale == "zscore":
        return (m - m.mean()) / m.std() if m.std() > 0 else m * 0
    return 1 / (1 + np.exp(-m)) if scale == "sigmoid" else m


def plain_compare(name: str, m: np.ndarray, s: np.ndarray) -> float:
    pairs = list(zip(m.ravel().tolist(), s.ravel().tolist(), strict=True))
    n = len(pairs)
    if name == "spatial_mse":
        return sum((a - b) ** 2 for a, b in pairs) / n
    if name == "spatial_l1":
        return sum(abs(a - b) for a, b in pairs) / n
    if name == "spatial_bce":
        near = [(MARGIN + (1 - 2 * MARGIN) * a, b) for a, b in pairs]
        return -sum(b * math.log(a) + (1 - b) * math.log(1 - a) for a, b in near) / n
    both, map_squares, mask_squares = (
        sum(f) for f in zip(*((a * b, a * a, b * b) for a, b in pairs), strict=True)
    )
    if name == "spatial_dice":
        return 1 - 2 * both / (map_squares + mask_squares)
    if name == "spatial_iou":
        return 1 - both / (map_squares + mask_squares - both)
    pairs = [(max(a, 0.0), b) for a, b in pairs]
    energy, area = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    if name == "spatial_energy":
        return 1 - sum(a * b for a, b in pairs) / energy if energy > 1e-6 else 0.0
    result = 0.0
    for a, b in pairs:
        q = (1 - MARGIN) * (a / energy if energy > 1e-6 else 1 / n) + MARGIN / n
        result += b / area * math.log(b / area / q) if b else 0.0
    return result


def plain(name: str, term: SpatialTerm, output: Output, batch: Batch) -> float:
    errors = []
    for i in range(len(batch)):
        if not batch.has_mask[i]:
            continue
        m = plain_map(term, output.taps["late"][i].detach().numpy(), int(batch.targets[i]))
        mask, side = batch.masks[i, 0].numpy(), len(m)
        step = len(mask) // side
        s = np.zeros_like(m)
        for y in range(side):
            for x in range(side):
                cell = mask[y * step : (y + 1) * step, x * step : (x + 1) * step]
                s[y, x] = cell.mean() if term.config.resize == "area" else cell[step // 2, step // 2]
        if s.sum() == 0:
            continue
        m = plain_scale(m, term.config.normalise)
        if term.config.normalise == "zscore":
            s = plain_scale(s, "zscore")
        errors.append(plain_compare(name, m, s))
    return float(np.mean(errors)) if errors else 0.0


@pytest.mark.parametrize(("name", "how", "scale"), SETTINGS)
def test_values_against_the_plain_version(name: str, how: str, scale: str) -> None:
    for seed, resize in [(s, r) for s in range(4) for r in ("area", "nearest")]:
        output, batch = make(seed)
        term = build(name, aggregate=how, normalise=scale, resize=resize)
        expected = plain(name, term, output, batch)
        assert term(output, batch, PROGRESS).item() == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("name", "how", "scale"), SETTINGS)
def test_gradients_against_finite_differences(name: str, how: str, scale: str) -> None:
    output, batch = make(1, side=3, picture=12)
    batch = batch.replace(has_mask=torch.tensor([True, False, True]))
    term = build(name, aggregate=how, normalise=scale)
    # Class maps go twice through the head, so its weights are checked too, and so is the projection.
    parameters = [*HEAD.parameters(), *term.parameters()]

    def loss(tap: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = term(output_of(tap), batch, PROGRESS)
        return value + 0 * HEAD(tap.mean((2, 3))).sum()  # the other parameters have a place in the graph

    assert torch.autograd.gradcheck(
        loss, (output.taps["late"].detach().requires_grad_(), *parameters), eps=1e-6, atol=1e-6
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(SPATIAL)), how=st.sampled_from(AGGREGATES))
def test_defaults_on_any_seed(seed: int, name: str, how: str) -> None:
    output, batch = make(seed)
    term = build(name, aggregate=how)
    value = term(output, batch, PROGRESS)
    assert value.item() == pytest.approx(plain(name, term, output, batch), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", SPATIAL)
def test_no_mask_means_zero_with_a_graph(name: str) -> None:
    output, batch = make(3)
    without = batch.replace(has_mask=torch.zeros(3, dtype=torch.bool))
    empty = batch.replace(has_mask=torch.ones(3, dtype=torch.bool), masks=torch.zeros_like(batch.masks))
    for nothing in (without, empty):
        value = build(name)(output, nothing, PROGRESS)
        assert value.item() == 0
        value.backward(retain_graph=True)


@pytest.mark.parametrize("name", SPATIAL)
def test_pictures_without_a_mask_or_with_an_empty_one_do_not_count(name: str) -> None:
    output, batch = make(5)
    batch = batch.replace(has_mask=torch.tensor([True, False, True]))
    changed = batch.masks.clone()
    changed[1] = 1 - changed[1]
    term = build(name)
    value = term(output, batch, PROGRESS).item()
    assert value == term(output, batch.replace(masks=changed), PROGRESS).item()
    changed[1] = 0
    all_have = batch.replace(masks=changed, has_mask=torch.ones(3, dtype=torch.bool))
    assert value == term(output, all_have, PROGRESS).item()
    eroded = build(name, dilate=-3)
    assert eroded(output, all_have, PROGRESS).item() == 0, "nothing of a mask of 6 x 5 pixels is left"


@pytest.mark.parametrize("name", [name for name in SPATIAL if name != "spatial_energy"])
@pytest.mark.parametrize("soft", [False, True])
def test_the_least_is_at_the_mask_itself(name: str, soft: bool) -> None:
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    mask[..., 2:6, 2:6] = 1
    if soft:
        mask[..., 2:6, 5] = 0.4
    batch = Batch(torch.zeros(1, 3, 8, 8), torch.tensor([0]), mask, torch.tensor([True]), torch.tensor([0]))

    def value(tap: torch.Tensor) -> float:
        return build(name)(Output(torch.zeros(1, 2), taps={"late": tap}), batch, PROGRESS).item()

    best = mask.repeat(1, 3, 1, 1) * 7 - 2  # any positive scale and shift
    least = value(best)
    if not soft and name not in ("spatial_bce", "spatial_kl"):
        assert least == pytest.approx(0, abs=1e-12)
    assert least < 0.1 if not soft else least < 0.3
    g = torch.Generator().manual_seed(0)
    for _ in range(10):
        assert value(best + 0.5 * torch.randn(best.shape, generator=g, dtype=torch.float64)) > least


def test_maps_without_content_stay_finite_and_learn_nothing() -> None:
    _, batch = make(2)
    batch = batch.replace(has_mask=torch.ones(3, dtype=torch.bool))
    for name, how, scale in SETTINGS:
        flat = torch.zeros(3, CHANNELS, 5, 5, dtype=torch.float64, requires_grad=True)
        term = build(name, aggregate=how, normalise=scale)
        value = term(output_of(flat), batch, PROGRESS)
        (gradient,) = torch.autograd.grad(value + 0 * flat.sum(), flat)
        assert value.isfinite(), (name, how, scale)
        assert gradient.isfinite().all(), (name, how, scale)
        if scale in ("minmax", "zscore"):
            assert gradient.abs().max() == 0, (name, how, scale)


def test_half_precision_taps_are_computed_in_single_precision() -> None:
    output, batch = make(8)
    batch = batch.replace(masks=batch.masks.float(), has_mask=torch.ones(3, dtype=torch.bool))
    head = LinearHead(LinearHead.Config(dropout=0.0), CHANNELS, 2)
    context = Context(("a", "b"), (1, 1), head, lambda tap: CHANNELS)
    tap = output.taps["late"].detach().float()
    for name, how, scale in SETTINGS:
        loss = SPATIAL[name]
        term = loss(loss.Config(aggregate=how, normalise=scale), context)
        values = []
        for dtype in (torch.float32, torch.bfloat16):
            x = tap.to(dtype).requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                logits = head(x.mean((2, 3)))
            values.append(term(Output(logits, taps={"late": x}), batch, PROGRESS))
        assert values[1].dtype == torch.float32
        assert values[1].item() == pytest.approx(values[0].item(), rel=0.1, abs=0.02), (name, how, scale)


def test_several_taps_are_the_mean_of_each() -> None:
    output, batch = make(6)
    for how in ("mean", "gradcam"):
        both = build("spatial_l1", tap=["late", "twice"], aggregate=how, normalise="none")
        assert both.taps == ("late", "twice")
        if how == "gradcam":
            tap = output.taps["late"]
            output = Output(HEAD(output.taps["twice"].mean((2, 3))), taps={**output.taps, "late": tap})
        one, two = (
            build("spatial_l1", tap=t, aggregate=how, normalise="none")(output, batch, PROGRESS).item()
            for t in ("late", "twice")
        )
        assert both(output, batch, PROGRESS).item() == pytest.approx((one + two) / 2)


def test_a_projection_is_drawn_by_the_seed_and_learns_what_a_mean_cannot() -> None:
    first, again = build("spatial_bce", aggregate="projection"), build("spatial_iou", aggregate="projection")
    assert torch.equal(first.projections[0].weight, again.projections[0].weight), "the same seed and tap"
    loss = SPATIAL["spatial_bce"]
    other = Context(CONTEXT.classes, CONTEXT.counts, HEAD, CONTEXT.tap_channels, seed=10)
    different = loss(loss.Config(aggregate="projection"), other).projections[0].weight
    assert not torch.equal(first.projections[0].weight.float(), different)
    with pytest.raises(ConfigError, match="projection"):
        loss(loss.Config(aggregate="projection"), Context(("a", "b"), (1, 1)))

    output, batch = make(4, size=8)
    batch = batch.replace(has_mask=torch.ones(8, dtype=torch.bool))
    tap = output.taps["late"].detach().clone()
    tap[:, 2] -= 3 * nn.functional.adaptive_avg_pool2d(batch.masks, 5)[:, 0]  # dark on the object
    output = output_of(tap)
    objective = Objective(
        {"look": loss.Config(aggregate="projection", normalise="sigmoid")}, CONTEXT
    ).double()  # fmt: skip
    assert len(list(objective.parameters())) == 2
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.1)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        value = objective(output, batch, PROGRESS)["look"]
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.6 * values[0]
    assert objective.parts["look:term"].projections[0].weight.flatten().argmin() == 2  # type: ignore[index, operator]


def test_energy_moves_into_the_mask() -> None:
    output, batch = make(11)
    batch = batch.replace(has_mask=torch.ones(3, dtype=torch.bool))
    term = build("spatial_energy")
    value = term(output, batch, PROGRESS)
    value.backward()
    tap = output.taps["late"]
    moved = (tap - 1.0 * tap.grad).detach().requires_grad_(True)
    assert term(output_of(moved), batch, PROGRESS).item() < value.item()


def test_an_empty_map_costs_nothing_but_a_signed_one_is_still_moved() -> None:
    """Evidence against the class everywhere, least inside the mask: Grad-CAM is 0, its energy loss and gradient too."""
    batch = make(11)[1].replace(has_mask=torch.ones(3, dtype=torch.bool))
    tap = -1 - torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    moved = {}
    for how, scale in (("gradcam", "none"), ("signed_gradcam", "minmax")):
        leaf = tap.clone().requires_grad_(True)
        value = build("spatial_energy", aggregate=how, normalise=scale)(
            Output(leaf.mean((2, 3)).sum(1, keepdim=True).expand(3, 3), taps={"late": leaf}), batch, PROGRESS
        )
        value.backward()
        moved[how] = value.item(), leaf.grad.abs().sum().item()
    assert moved["gradcam"] == (0.0, 0.0)
    assert moved["signed_gradcam"][0] > 0.1
    assert moved["signed_gradcam"][1] > 0.1


def test_which_terms_differentiate_the_network() -> None:
    for how in AGGREGATES:
        assert build("spatial_mse", aggregate=how).differentiates == (
            how in ("gradcam", "signed_gradcam", "cam")
        )
    assert build("spatial_energy").differentiates, "Grad-CAM is its default"


@pytest.mark.parametrize("name", ["spatial_bce", "spatial_dice", "spatial_iou"])
@pytest.mark.parametrize("scale", ["zscore", "none"])
def test_scales_that_a_loss_cannot_work_with_are_refused(name: str, scale: str) -> None:
    with pytest.raises(ConfigError, match=rf"normalise '{scale}' does not fit: .* needs maps in \[0, 1\]"):
        build(name, normalise=scale)


def test_other_settings_that_are_refused() -> None:
    for name in ("spatial_kl", "spatial_energy"):
        with pytest.raises(ConfigError, match="no negative values"):
            build(name, normalise="zscore")
    with pytest.raises(ConfigError, match="at least one tap"):
        build("spatial_mse", tap=[])
    with pytest.raises(ConfigError, match="aggregate"):
        build("spatial_mse", aggregate="median")
