"""Transforms that hide parts: how much is hidden, where, and what becomes of masks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augmentation_helpers import apply, places, told
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.experiment import Experiment

from torchvision.transforms import v2  # isort: skip  (after the guard)

ERASING = ("cutout", "random_erasing", "hide_and_seek", "grid_mask", "cow_out")
LATE = Progress(epoch=9, share=1.0, training=1.0)


def hidden(kind: str, count: int, size: tuple[int, int], seed: int = 0, **options: object) -> torch.Tensor:
    """(B, H, W) bool: where a picture of ones, all object, was hidden."""
    batch = told(count, *size).replace(has_mask=torch.ones(count).bool(), masks=torch.ones(count, 1, *size))
    found = apply(kind, batch, seed, LATE, fill="mean", **options)
    gone = found.images[:, 0] == 0
    assert torch.equal(found.masks[:, 0] == 0, gone)
    return gone


@pytest.mark.parametrize("kind", ERASING)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000), count=st.integers(1, 5), height=st.integers(2, 33), width=st.integers(2, 33)
)
def test_any_size_and_batch(kind: str, seed: int, count: int, height: int, width: int) -> None:
    batch = told(count, height, width)
    for fill in ("mean", "noise"):
        found = apply(kind, batch, seed, LATE, fill=fill, p=1.0)
        gone = (found.images != batch.images).all(dim=1)
        assert torch.equal(gone, (found.images != batch.images).any(dim=1))
        torch.testing.assert_close(found.masks[:, 0], torch.where(gone, 0.0, batch.masks[:, 0]))
        assert torch.equal(found.targets, batch.targets)
        assert torch.equal(found.has_mask, batch.has_mask)
        again = apply(kind, batch, seed, LATE, fill=fill, p=1.0)
        assert torch.equal(found.images, again.images)
    assert torch.equal(apply(kind, batch, seed, LATE, p=0.0).images, batch.images)


def test_cutout_is_a_square_clipped_at_the_border() -> None:
    gone = hidden("cutout", 200, (21, 30), side=0.5)
    areas = []
    for k in range(len(gone)):
        rows, columns = (gone[k].any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
        tall, wide = int(rows.max() - rows.min() + 1), int(columns.max() - columns.min() + 1)
        assert int(gone[k].sum()) == tall * wide
        assert tall <= 10
        assert wide <= 10
        areas.append(tall * wide)
    # Mean length inside [0, n) of 10 pixels around a uniform pixel, by counting.
    means = [np.mean([min(c + 5, n) - max(c - 5, 0) for c in range(n)]) for n in (21, 30)]
    assert np.mean(areas) == pytest.approx(means[0] * means[1], rel=0.06)
    two = hidden("cutout", 200, (21, 30), side=0.5, holes=2).float().mean()
    assert gone.float().mean() < two < 2 * gone.float().mean()


def test_random_erasing_is_torchvisions() -> None:
    options = {"scale": (0.02, 0.33), "ratio": (0.3, 3.3)}
    ours = hidden("random_erasing", 4000, (24, 32), p=1.0, **options).flatten(1).float()
    erase = v2.RandomErasing(p=1.0, **options)
    torch.manual_seed(0)
    theirs = torch.stack([erase(torch.ones(1, 24, 32)) == 0 for _ in range(4000)]).flatten(1).float()
    assert ours.mean() == pytest.approx(float(theirs.mean()), rel=0.04)
    assert ours.mean(1).std() == pytest.approx(float(theirs.mean(1).std()), rel=0.06)
    assert (ours.mean(0) - theirs.mean(0)).abs().max() < 0.05  # how often each pixel is hidden
    half = hidden("random_erasing", 2000, (24, 32), p=0.5, **options).flatten(1).any(dim=1)
    assert half.float().mean() == pytest.approx(0.5, abs=0.04)


def test_random_erasing_inside_the_object() -> None:
    batch = told(300, 20, 26)
    box = torch.zeros(300, 1, 20, 26)
    box[:, :, 4:14, 7:22] = 1
    batch = batch.replace(masks=box * batch.has_mask.view(-1, 1, 1, 1))
    found = apply("random_erasing", batch, region="object", p=1.0, fill="mean")
    gone = found.images[:, 0] == 0
    masked = batch.has_mask
    assert not gone[masked].any(dim=0)[box[0, 0] == 0].any()
    assert gone[masked].flatten(1).any(dim=1).all()
    assert gone[~masked].any(dim=0)[box[0, 0] == 0].any()  # without a mask the whole picture is the region
    assert gone[masked].float().mean() * 20 * 26 / 150 == pytest.approx(0.21, abs=0.03)
    both = apply("random_erasing", batch, region="both", p=1.0, fill="mean").images[:, 0] == 0
    assert both[masked].any(dim=0)[box[0, 0] == 0].any()


def test_hide_and_seek_hides_whole_cells_with_their_probability() -> None:
    gone = hidden("hide_and_seek", 400, (28, 33), cells=(0.25,), hidden=0.3)
    cells = gone.repeat_interleave(1, 1)
    for top in range(0, 28, 7):
        for left in range(0, 33, 7):
            cell = cells[:, top : top + 7, left : left + 7].flatten(1)
            assert torch.equal(cell.all(dim=1), cell.any(dim=1))
            assert cell[:, 0].float().mean() == pytest.approx(0.3, abs=0.1)
    some = hidden("hide_and_seek", 1000, (28, 28), cells=(0.0, 0.25)).flatten(1).any(dim=1)
    assert some.float().mean() == pytest.approx(0.5, abs=0.05)  # 16 cells are never all shown


@pytest.mark.parametrize(("reverse", "degrees"), [(False, 0.0), (False, 360.0), (True, 360.0)])
def test_grid_mask_hides_squares_between_stripes(reverse: bool, degrees: float) -> None:
    gone = hidden(
        "grid_mask", 300, (60, 60), p=1.0, period=(20 / 60, 20 / 60), degrees=degrees, reverse=reverse
    )
    share = ((20 - math.ceil(0.6 * 20)) / 20) ** 2
    assert gone.float().mean() == pytest.approx(1 - share if reverse else share, abs=0.01)
    if not degrees:
        for mask in gone[:20]:  # whole squares of 8 pixels, 20 apart
            row = mask.any(dim=1)
            assert torch.equal(mask, row[:, None] & mask.any(dim=0)[None])
            assert torch.equal(row[20:], row[:-20])
            assert int(row[:20].sum()) == 8


def test_grid_mask_grows() -> None:
    batch = told(400, 8, 8)
    for training, expected in ((0.0, 0.0), (0.4, 0.4), (0.8, 0.8), (1.0, 0.8)):
        now = Progress(training=training)
        found = apply("grid_mask", batch, progress=now, ramp=0.8, period=(0.25, 0.25), degrees=0, kept=0.4)
        changed = (found.images != batch.images).flatten(1).any(dim=1).float().mean()
        assert changed == pytest.approx(expected, abs=0.07)


def test_cow_masks_have_the_share_and_blobs_of_their_size() -> None:
    gone = hidden("cow_out", 100, (96, 120), sigma=(4 / 96, 4 / 96), share=(0.6, 0.6))
    assert gone.float().mean() == pytest.approx(0.4, abs=0.02)
    # Thresholded Gaussian noise blurred by sigma: neighbours at distance d have the correlation exp(-d^2 / 4 sigma^2).
    half = hidden("cow_out", 100, (96, 120), sigma=(6 / 96, 6 / 96), share=(0.5, 0.5)).float() - 0.5
    for distance in (4, 8, 12):
        found = (half[:, :, distance:] * half[:, :, :-distance]).mean() / half.square().mean()
        expected = 2 / math.pi * math.asin(math.exp(-(distance**2) / (4 * 6**2)))  # of signs
        assert found == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "random_erasing", "scale": [0.5, 0.1]}, "the smaller value first"),
        ({"kind": "grid_mask", "period": [0.0, 0.5]}, "period must lie"),
        ({"kind": "cow_out", "share": [0.5, 1.5]}, r"share must lie in \[0, 1\]"),
        ({"kind": "cutout", "holes": 0}, "holes"),
    ],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Experiment.from_dict({"transforms": [values]})


def test_pictures_keep_their_memory() -> None:
    batch = places()
    for kind in ERASING:
        assert apply(kind, batch, progress=LATE).images.is_contiguous()
