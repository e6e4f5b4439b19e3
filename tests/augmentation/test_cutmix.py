"""CutMix against a slow version that looks at every pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from foveate.augmentation.cutmix import CutMix, draw_box
from foveate.core.progress import Progress
from foveate.data.batch import Batch

MODEL = nn.Identity()
COUNTS = (5, 3, 1)


def make_batch(n: int = 6, height: int = 10, width: int = 14) -> Batch:
    """Picture k is k everywhere; its mask is k / n; pictures 0 and 3 have none."""
    value = torch.arange(n, dtype=torch.float32).view(-1, 1, 1, 1)
    has_mask = torch.tensor([k % 3 != 0 for k in range(n)])
    masks = (value / n).expand(n, 1, height, width) * has_mask.view(-1, 1, 1, 1)
    images = value.expand(n, 3, height, width).clone()
    return Batch(images, torch.arange(n) % 3, masks.clone(), has_mask, torch.arange(n))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), side=st.integers(4, 17))
def test_labels_are_the_shares_of_the_pixels(seed: int, side: int) -> None:
    batch = make_batch(height=side, width=side + 3)
    before = batch.targets.clone()
    found = CutMix(CutMix.Config(), COUNTS)(batch, MODEL, np.random.default_rng(seed), Progress())
    for k in range(len(found)):
        shares = torch.zeros(3)
        for value in found.images[k, 0].flatten().tolist():  # each pixel says from which picture it comes
            shares[before[int(value)]] += 1 / found.images[k, 0].numel()
        torch.testing.assert_close(found.targets[k], shares, atol=1e-5, rtol=0)
    assert torch.equal(found.targets.sum(1).round(decimals=5), torch.ones(len(found)))


def test_masks_go_along_and_are_known_where_both_are() -> None:
    batch = make_batch()
    found = CutMix(CutMix.Config(), COUNTS)(batch, MODEL, np.random.default_rng(4), Progress())
    whose = found.images[:, :1]
    known = torch.tensor([k % 3 != 0 for k in range(6)])
    for k in range(6):
        sources = whose[k].unique().long()
        assert bool(found.has_mask[k]) == bool(known[sources].all()) or len(sources) == 1
        expected = torch.where(known[whose[k].long()], whose[k] / 6, torch.zeros(()))
        torch.testing.assert_close(found.masks[k], expected)


def test_it_is_drawn_by_the_key_and_in_place() -> None:
    transform = CutMix(CutMix.Config(), COUNTS)
    batch = make_batch()
    found = transform(batch, MODEL, np.random.default_rng(1), Progress())
    assert found.images.data_ptr() == batch.images.data_ptr()
    again = transform(make_batch(), MODEL, np.random.default_rng(1), Progress())
    assert torch.equal(found.images, again.images)
    assert torch.equal(found.targets, again.targets)


def test_probability_zero_changes_nothing() -> None:
    batch = make_batch()
    assert CutMix(CutMix.Config(p=0.0), COUNTS)(batch, MODEL, np.random.default_rng(0), Progress()) is batch


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), kept=st.floats(0, 1), height=st.integers(2, 40), width=st.integers(2, 40))
def test_boxes_lie_inside_and_are_no_larger_than_asked(
    seed: int, kept: float, height: int, width: int
) -> None:
    rows, columns = draw_box(height, width, kept, np.random.default_rng(seed))
    assert 0 <= rows.start <= rows.stop <= height
    assert 0 <= columns.start <= columns.stop <= width
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    assert area <= (1 - kept) * height * width + 1e-6


def test_boxes_have_the_area_of_the_formula_where_nothing_is_clipped() -> None:
    sizes = [
        (rows.stop - rows.start, columns.stop - columns.start)
        for rows, columns in (draw_box(100, 60, 0.75, np.random.default_rng(seed)) for seed in range(200))
    ]
    assert max(sizes) == (50, 30)  # half of each side: a quarter of the area


def test_unlabelled_pictures_cannot_be_mixed() -> None:
    batch = make_batch().replace(targets=torch.full((6,), -1))
    with pytest.raises(Exception, match="unlabelled pictures"):
        CutMix(CutMix.Config(), COUNTS)(batch, MODEL, np.random.default_rng(0), Progress())
