"""Background replacement: the object stays, the background goes, masks decide."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency
from torch import nn

from foveate.augmentation.background_swap import BackgroundSwap, paint_out, partners, widen
from foveate.core.progress import Progress
from foveate.data.batch import Batch

MODEL = nn.Identity()


def make_batch(seed: int = 0, n: int = 6, side: int = 16) -> Batch:
    g = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % 3
    images = torch.randn(n, 3, side, side, generator=g) * 0.1 + targets.view(-1, 1, 1, 1).float() * 10
    masks = torch.zeros(n, 1, side, side)
    masks[..., 5:11, 4:12] = 1
    return Batch(images, targets, masks, torch.ones(n, dtype=torch.bool), torch.arange(n))


def swap(batch: Batch, seed: int = 0, **settings: object) -> Batch:
    return BackgroundSwap(BackgroundSwap.Config(**settings))(
        batch, MODEL, np.random.default_rng(seed), Progress()
    )


@pytest.mark.parametrize("fill", ["swap", "blur", "noise", "flat"])
def test_the_object_stays_and_the_background_changes(fill: str) -> None:
    batch = make_batch()
    changed = swap(batch, p=1.0, fill=fill, grow=0)
    inside = batch.masks.expand_as(batch.images) == 1
    assert torch.equal(changed.images[inside], batch.images[inside])
    assert (changed.images[~inside] != batch.images[~inside]).float().mean() > 0.9
    assert torch.equal(changed.targets, batch.targets)
    assert torch.equal(changed.masks, batch.masks)


def test_the_new_background_is_of_another_class() -> None:
    batch = make_batch()
    changed = swap(batch, p=1.0, grow=0, source="other_class")
    outside = (1 - batch.masks).expand_as(batch.images).bool()
    for i in range(len(batch)):
        level = changed.images[i][outside[i]].mean().item() / 10  # pictures of class c have level c
        assert abs(level - batch.targets[i].item()) > 0.5


def test_nothing_of_the_other_object_is_pasted() -> None:
    batch = make_batch()
    images = batch.images.clone()
    images[batch.masks.expand_as(images) == 1] = 1000.0
    changed = swap(batch.replace(images=images), p=1.0, grow=0)
    outside = (1 - batch.masks).expand_as(images).bool()
    assert changed.images[outside].max() < 100


def test_pictures_without_a_mask_are_left_alone_and_lend_nothing() -> None:
    batch = make_batch()
    lone = batch.replace(has_mask=torch.tensor([True, False, True, True, False, True]))
    images = lone.images.clone()
    images[1] = images[4] = 500.0
    changed = swap(lone.replace(images=images), p=1.0)
    assert torch.equal(changed.images[[1, 4]], images[[1, 4]])
    assert changed.images[[0, 2, 3, 5]].max() < 100


def test_probability_and_keyed_randomness() -> None:
    batch = make_batch(n=300)
    first, again = swap(batch, seed=3, p=0.7), swap(batch, seed=3, p=0.7)
    assert torch.equal(first.images, again.images)
    share = (first.images != batch.images).flatten(1).any(dim=1).float().mean().item()
    assert abs(share - 0.7) < 0.1
    assert torch.equal(swap(batch, p=0.0).images, batch.images)
    assert torch.equal(batch.images, make_batch(n=300).images), "the batch that was given must not change"


def one_by_one(batch: Batch, seed: int, p: float, fill: str, source: str, grow: int) -> torch.Tensor:
    """The same draws in the same order, then every picture by itself."""
    rng = np.random.default_rng(seed)
    labels, lends = batch.labels.tolist(), batch.has_mask.tolist()
    rows = [i for i, draw in enumerate(rng.random(len(batch))) if draw < p and lends[i]]
    drawn = []
    for i in range(len(batch)) if fill == "swap" else ():
        rest = [k for k in range(len(batch)) if lends[k] and k != i]
        pool = [k for k in rest if labels[k] != labels[i]] if source == "other_class" else rest
        drawn.append(int(rng.choice(pool or rest)))
    if fill in ("noise", "flat"):
        shape = (len(rows), *(batch.images.shape[1:] if fill == "noise" else (3, 1, 1)))
        values = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    images = batch.images.clone()
    for k, i in enumerate(rows):
        j = drawn[i] if fill == "swap" else i
        clean = paint_out(batch.images[j : j + 1], (widen(batch.masks[j : j + 1], 2) == 0).float())
        if fill == "swap":
            behind = clean
        elif fill == "blur":
            means = torch.nn.functional.adaptive_avg_pool2d(clean, 4)
            behind = torch.nn.functional.interpolate(means, size=images.shape[-2:], mode="bilinear")
        else:
            behind = values[k : k + 1]
        alpha = widen(batch.masks[i : i + 1], grow)
        images[i] = (batch.images[i : i + 1] * alpha + behind * (1 - alpha))[0]
    return images


@pytest.mark.parametrize("fill", ["swap", "blur", "noise", "flat"])
@pytest.mark.parametrize("source", ["any", "other_class"])
@pytest.mark.parametrize("grow", [-1, 0, 2])
def test_training_sees_the_bits_that_the_plain_version_gives(fill: str, source: str, grow: int) -> None:
    batch = make_batch(seed=4, n=9)
    soft = batch.masks.clone()
    soft[..., 5, :] *= 0.5
    batch = batch.replace(masks=soft, has_mask=torch.arange(9) != 4)
    changed = swap(batch, seed=7, p=0.7, fill=fill, source=source, grow=grow)
    assert torch.equal(changed.images, one_by_one(batch, 7, 0.7, fill, source, grow))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), height=st.integers(1, 33), width=st.integers(1, 33))
def test_paint_out_keeps_what_is_known_and_stays_in_its_range(seed: int, height: int, width: int) -> None:
    g = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, height, width, generator=g)
    keep = (torch.rand(2, 1, height, width, generator=g) > 0.6).float()
    filled = paint_out(images, keep)
    known = keep.bool().expand_as(images)
    assert torch.equal(filled[known], images[known])
    for i in range(2):
        if keep[i].any():
            values = images[i][known[i]]
            assert filled[i].max() <= values.max() + 1e-5
            assert filled[i].min() >= values.min() - 1e-5
        else:
            assert filled[i].abs().max() == 0


def test_paint_out_of_a_flat_picture_is_flat() -> None:
    images = torch.full((1, 3, 32, 32), 0.37)
    keep = torch.ones(1, 1, 32, 32)
    keep[..., 8:24, 8:24] = 0
    assert torch.allclose(paint_out(images, keep), images, atol=1e-6)


def test_partners_of_another_class_fall_back_to_any() -> None:
    rng = np.random.default_rng(0)
    targets, everyone = torch.tensor([0, 0, 1, 1]), torch.ones(4, dtype=torch.bool)
    chosen = partners(targets, everyone, "other_class", rng)
    assert all(targets[p] != t for p, t in zip(chosen, targets, strict=True))
    same = partners(torch.zeros(3, dtype=torch.int64), everyone[:3], "other_class", rng)
    assert all(p != i for i, p in enumerate(same.tolist()))
    alone = partners(torch.zeros(1, dtype=torch.int64), everyone[:1], "any", rng)
    assert alone.tolist() == [0]


def test_partners_of_any_class_say_nothing_about_the_class() -> None:
    """Independence, by a chi-square test on 4000 draws; "other_class" fails the same test."""
    targets = torch.arange(400) % 4
    everyone = torch.ones(400, dtype=torch.bool)
    tables = {}
    for source in ("any", "other_class"):
        table = np.zeros((4, 4))
        for seed in range(10):
            chosen = partners(targets, everyone, source, np.random.default_rng(seed))
            np.add.at(table, (targets.numpy(), targets[chosen].numpy()), 1)
        tables[source] = chi2_contingency(table).pvalue
    assert tables["any"] > 0.001
    assert tables["other_class"] < 1e-6


def test_widen_is_a_dilation() -> None:
    mask = torch.zeros(1, 1, 7, 7)
    mask[..., 3, 3] = 1
    assert widen(mask, 2).sum() == 25
    assert torch.equal(widen(mask, 0), mask)
    assert torch.equal(widen(widen(mask, 2), -2), mask)
    assert widen(mask, -1).sum() == 0
