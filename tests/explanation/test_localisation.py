"""Localisation scores against loops, scikit-learn, scikit-image, and their chance levels against simulation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu
from sklearn.metrics import jaccard_score, roc_auc_score

from explanation_helpers import slow_energy
from foveate.explanation.localisation import (
    LOCALISATION,
    LocalisationConfig,
    chance_energy,
    chance_levels,
    energy_in_mask,
    localisation,
)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 5))
def test_energy_is_the_slow_loop(seed: int, h: int, w: int) -> None:
    rng = np.random.default_rng(seed)
    small = rng.normal(size=(3, h, w)).astype(np.float32)
    masks = (rng.random((3, 12, 9)) < rng.random()).astype(np.float32)
    found = energy_in_mask(torch.tensor(small), torch.tensor(masks)).numpy()
    expected = [slow_energy(s.clip(min=0), m) for s, m in zip(small, masks, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_uniform_map_is_chance_and_extremes() -> None:
    masks = torch.zeros(4, 1, 8, 8)
    masks[0, :, :4] = 1
    masks[1] = 1
    masks[2, :, 2, 3] = 0.5
    flat = energy_in_mask(torch.ones(4, 2, 2), masks)
    np.testing.assert_allclose(flat.numpy(), [0.5, 1, 0.5 / 64, np.nan], atol=1e-6)
    np.testing.assert_allclose(flat.numpy(), chance_energy(masks).numpy(), atol=1e-6)
    spot = torch.zeros(4, 8, 8)
    spot[:, 1, 1] = 1
    np.testing.assert_allclose(energy_in_mask(spot, masks).numpy(), [1, 1, 0, np.nan])
    assert energy_in_mask(torch.zeros(4, 2, 2), masks).isnan().all()


def blobs(seed: int, n: int = 3, size: tuple[int, int] = (14, 11)) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps with many zeros and ties, and rectangles as masks."""
    rng = np.random.default_rng(seed)
    maps = np.round(rng.normal(size=(n, *size)), 1).clip(min=0).astype(np.float32)
    maps[:, 0, 0] = 5 * rng.random(n)
    masks = np.zeros((n, *size), dtype=np.float32)
    for mask in masks:
        y, x = rng.integers(0, 8, 2)
        mask[y : y + rng.integers(1, 8), x : x + rng.integers(1, 8)] = 1
    return torch.tensor(maps), torch.tensor(masks)


def expected_share(values: np.ndarray, inside: np.ndarray, count: int, rng: np.random.Generator) -> float:
    """Mean over random orders of the ties."""
    shares = []
    for _ in range(3000):
        shuffled = rng.permutation(values.size)
        best = shuffled[np.argsort(-values.ravel()[shuffled], kind="stable")][:count]
        shares.append(inside.ravel()[best].mean())
    return float(np.mean(shares))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100_000))
def test_scores_are_the_plain_ones(seed: int) -> None:
    maps, masks = blobs(seed)
    found = localisation(maps, masks, LocalisationConfig(thresholds=8))
    assert list(found) == [score.name for score in LOCALISATION]
    for i, (a, s) in enumerate(zip(maps.numpy(), masks.numpy() > 0, strict=True)):
        highest = a == a.max()
        assert found["pointing"][i] == pytest.approx(s[highest].mean())
        assert found["pointing_weighted"][i] == pytest.approx(s[highest].mean() * (1 - s.mean()), abs=1e-6)
        assert found["energy"][i] == pytest.approx((a * s).sum() / a.sum(), abs=1e-5)
        assert found["auc"][i] == pytest.approx(roc_auc_score(s.ravel(), a.ravel()), abs=1e-6)
        assert found["iou_mean"][i] == pytest.approx(
            jaccard_score(s.ravel(), (a > a.mean()).ravel()), abs=1e-6
        )
        scaled = (a - a.min()) / (a.max() - a.min())
        threshold = threshold_otsu(scaled.astype(np.float64))
        assert found["iou_otsu"][i] == pytest.approx(
            jaccard_score(s.ravel(), (scaled > threshold).ravel()), abs=1e-6
        )
        for k in range(8):
            region = scaled >= np.float32(k / 8)
            assert found["iou_best"][i, k] == pytest.approx((s & region).sum() / (s | region).sum(), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_ties_count_as_their_mean_over_orders(seed: int) -> None:
    maps, masks = blobs(seed, n=1)
    found = localisation(maps, masks, LocalisationConfig(top=40))
    a, s, rng = maps[0].numpy(), masks[0].numpy() > 0, np.random.default_rng(seed)
    assert found["rank_accuracy"][0] == pytest.approx(expected_share(a, s, int(s.sum()), rng), abs=0.02)
    assert found["top_k"][0] == pytest.approx(expected_share(a, s, 40, rng), abs=0.02)


def test_tolerance_is_a_distance() -> None:
    masks = torch.zeros(1, 21, 21)
    masks[0, 10, 10] = 1
    for y in range(21):
        for x in range(1, 21, 6):
            maps = torch.zeros(1, 21, 21)
            maps[0, y, x] = 1
            near = math.hypot(y - 10, x - 10) <= 4
            assert localisation(maps, masks, LocalisationConfig(tolerance=4))["pointing"][0] == near
    disc = sum(math.hypot(y, x) <= 4 for y in range(-4, 5) for x in range(-4, 5))
    level = chance_levels(masks, LocalisationConfig(tolerance=4))["pointing"]
    assert level[0] == pytest.approx(disc / 441)


def test_chance_is_what_noise_scores() -> None:
    masks = torch.zeros(1, 60, 60)
    masks[0, 10:45, 5:38] = 1
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(150, 60, 60, generator=generator)
    config = LocalisationConfig(tolerance=2)
    found, level = localisation(noise, masks.expand(150, 60, 60), config), chance_levels(masks, config)
    assert set(found) == set(level)
    for name in set(found) - {"box_50"}:  # a box of noise is that of the whole picture below a density only
        mean, error = found[name].mean(dim=0), found[name].std(dim=0) / 150**0.5
        assert ((mean - level[name][0]).abs() <= 4 * error + 2e-3).all(), name
    assert torch.equal(found["box_50"][:, :8].mean(dim=0), level["box_50"][0, :8])


def test_what_cannot_be_measured_is_nan() -> None:
    maps, masks = torch.rand(4, 5, 5), torch.zeros(4, 1, 10, 10)
    masks[1:, :, 2:5, 2:5] = 1
    masks[3] = 1
    maps[2] = 3.0
    found, level = localisation(maps, masks), chance_levels(masks)
    for name in found:
        assert found[name][0].isnan().all(), name
        assert found[name][2].isnan().all(), name
        assert found[name][1].isfinite().all(), name
        assert level[name][0].isnan().all(), name
        assert level[name][2].isfinite().all(), name
    assert found["auc"][3].isnan()
    assert level["auc"][3].isnan()
    assert found["energy"][3] == pytest.approx(1)


def test_a_map_that_is_the_mask_is_right() -> None:
    masks = torch.zeros(2, 1, 30, 30)
    masks[:, :, 5:15, 8:20] = 1
    found = localisation(masks[:, 0], masks)
    for name in ("pointing", "energy", "rank_accuracy", "top_k", "auc", "iou_mean", "iou_otsu"):
        assert (found[name] == 1).all(), name
    assert (found["iou_best"][:, 1:] == 1).all()
    assert (found["box_50"][:, 1:] == 1).all()
