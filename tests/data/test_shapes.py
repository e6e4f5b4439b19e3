"""Compressed run lengths and closing against pycocotools and scipy on arbitrary masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from scipy import ndimage

from foveate.data.shapes import Runs, close, unpack_runs

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.booleans())


@settings(max_examples=60, deadline=None)
@given(mask=masks)
def test_what_pycocotools_packs_is_unpacked(mask: np.ndarray) -> None:
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    height, width = mask.shape
    assert np.array_equal(Runs(unpack_runs(packed["counts"]), width, height).draw(width, height), mask)


@settings(max_examples=60, deadline=None)
@given(runs=st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_large_runs_are_unpacked(runs: list[int]) -> None:
    packed = coco_mask.frPyObjects({"size": [sum(runs) or 1, 1], "counts": runs}, sum(runs) or 1, 1)
    assert unpack_runs(packed["counts"]) == runs
    assert unpack_runs(packed["counts"].decode()) == runs


@settings(max_examples=30, deadline=None)
@given(mask=masks, radius=st.integers(1, 5))
def test_closing_equals_the_plain_one(mask: np.ndarray, radius: int) -> None:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    padded = ndimage.binary_closing(np.pad(mask, 2 * radius), x**2 + y**2 <= radius**2)
    expected = padded[2 * radius : -2 * radius, 2 * radius : -2 * radius]
    assert np.array_equal(close(mask, radius / min(mask.shape)), expected)


@pytest.mark.parametrize("bad", ["0", "~~~~", ""])
def test_nonsense_runs_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="do not add up to 10 x 10"):
        Runs(unpack_runs(bad), 10, 10).draw(10, 10)
