"""Spatial losses against slow, plain versions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives import Context, Progress
from foveate.objectives.spatial import ClassMapEnergy, SpatialMSE, class_map, min_max

CONTEXT = Context(("a", "b"), (1, 1))
PROGRESS = Progress()


def make(
    seed: int, batch: int = 3, channels: int = 4, side: int = 5, picture: int = 20
) -> tuple[Output, Batch]:
    g = torch.Generator().manual_seed(seed)
    tap = torch.randn(batch, channels, side, side, generator=g, requires_grad=True)
    # Logits that depend on the tap in a known way: pooled features times fixed weights.
    weights = torch.randn(2, channels, generator=g)
    logits = tap.mean(dim=(2, 3)) @ weights.T
    masks = (torch.rand(batch, 1, picture, picture, generator=g) > 0.5).float()
    has_mask = torch.rand(batch, generator=g) > 0.3
    targets = torch.randint(0, 2, (batch,), generator=g)
    images = torch.zeros(batch, 3, picture, picture)
    output = Output(logits, taps={"late": tap, "weights": weights})
    return output, Batch(images, targets, masks, has_mask, torch.arange(batch))


def plain_spatial_mse(output: Output, batch: Batch, aggregate: str, normalise: str) -> float:
    errors = []
    for i in range(len(batch)):
        if not batch.has_mask[i]:
            continue
        tap = output.taps["late"][i].detach().numpy().astype(np.float64)
        m = tap.mean(0) if aggregate == "mean" else tap.max(0)
        mask = batch.masks[i, 0].numpy().astype(np.float64)
        step = mask.shape[0] // m.shape[0]
        small = np.zeros_like(m)
        for y in range(m.shape[0]):
            for x in range(m.shape[1]):
                small[y, x] = mask[y * step : (y + 1) * step, x * step : (x + 1) * step].mean()
        if normalise == "minmax":
            m = (m - m.min()) / (m.max() - m.min())
        else:
            m = (m - m.mean()) / m.std()
            small = (small - small.mean()) / small.std()
        errors.append(((m - small) ** 2).mean())
    return float(np.mean(errors)) if errors else 0.0


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    aggregate=st.sampled_from(["mean", "max"]),
    normalise=st.sampled_from(["minmax", "zscore"]),
)
def test_spatial_mse_against_the_plain_version(seed: int, aggregate: str, normalise: str) -> None:
    output, batch = make(seed)
    term = SpatialMSE(SpatialMSE.Config(aggregate=aggregate, normalise=normalise), CONTEXT)
    ours = term(output, batch, PROGRESS).item()
    assert ours == pytest.approx(plain_spatial_mse(output, batch, aggregate, normalise), rel=1e-3, abs=1e-5)


def test_no_mask_means_zero_with_a_graph() -> None:
    output, batch = make(3)
    batch = batch.replace(has_mask=torch.zeros(3, dtype=torch.bool))
    for loss in (SpatialMSE, ClassMapEnergy):
        value = loss(loss.Config(), CONTEXT)(output, batch, PROGRESS)
        assert value.item() == 0
        value.backward(retain_graph=True)


def test_pictures_without_a_mask_do_not_change_the_value() -> None:
    output, batch = make(5)
    batch = batch.replace(has_mask=torch.tensor([True, False, True]))
    changed = batch.masks.clone()
    changed[1] = 1 - changed[1]
    for loss in (SpatialMSE, ClassMapEnergy):
        term = loss(loss.Config(), CONTEXT)
        assert (
            term(output, batch, PROGRESS).item()
            == term(output, batch.replace(masks=changed), PROGRESS).item()
        )


def test_a_map_equal_to_the_mask_costs_nothing() -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    tap = mask.repeat(1, 3, 1, 1) * 7 - 2  # any positive scale and shift
    batch = Batch(torch.zeros(1, 3, 8, 8), torch.tensor([0]), mask, torch.tensor([True]), torch.tensor([0]))
    output = Output(torch.zeros(1, 2), taps={"late": tap})
    assert SpatialMSE(SpatialMSE.Config(), CONTEXT)(output, batch, PROGRESS).item() == pytest.approx(
        0, abs=1e-9
    )


def test_min_max_of_a_constant_map_is_zero_and_finite() -> None:
    assert min_max(torch.full((2, 3, 3), 5.0)).abs().max() == 0


def test_class_map_of_a_pooled_linear_head_is_the_classic_cam() -> None:
    output, batch = make(7)
    weights = output.taps["weights"]
    maps = class_map(output, batch, "late")
    for i, target in enumerate(batch.targets.tolist()):
        # dS/dA is w / (h w) everywhere, so Grad-CAM is CAM (Zhou et al. 2016) up to that factor.
        cam = (weights[target][:, None, None] * output.taps["late"][i]).sum(0).relu() / 25
        assert torch.allclose(maps[i], cam, atol=1e-6)


def test_class_map_energy_against_the_plain_version_and_its_gradient_moves_energy_inside() -> None:
    output, batch = make(11)
    batch = batch.replace(has_mask=torch.ones(3, dtype=torch.bool))
    term = ClassMapEnergy(ClassMapEnergy.Config(), CONTEXT)
    value = term(output, batch, PROGRESS)
    maps = class_map(output, batch, "late").detach().numpy()
    masks = batch.masks[:, 0].reshape(3, 5, 4, 5, 4).mean(dim=(2, 4)).numpy()
    plain = np.mean(
        [1 - (m * s).sum() / m.sum() if m.sum() > 0 else 0.0 for m, s in zip(maps, masks, strict=True)]
    )
    assert value.item() == pytest.approx(float(plain), rel=1e-4)
    value.backward()
    tap = output.taps["late"]
    with torch.no_grad():
        moved = tap - 5.0 * tap.grad
    logits = moved.requires_grad_(True).mean(dim=(2, 3)) @ output.taps["weights"].T
    after = term(Output(logits, taps={"late": moved}), batch, PROGRESS)
    assert after.item() < value.item()


def test_gradients_reach_the_network_through_the_class_map() -> None:
    conv, head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    tap = conv(images)
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., :4, :] = 1
    batch = Batch(images, torch.tensor([0, 1]), mask, torch.tensor([True, True]), torch.arange(2))
    output = Output(head(tap.relu().mean(dim=(2, 3))), taps={"late": tap})
    ClassMapEnergy(ClassMapEnergy.Config(), CONTEXT)(output, batch, PROGRESS).backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.abs().sum() > 0
