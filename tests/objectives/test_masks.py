"""Mask preparation against scipy and loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.objectives.masks import MaskConfig, bounding_boxes, prepare_masks, resize_masks, soften

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 3), st.just(1), st.integers(4, 15), st.integers(4, 15)))


def of(masks: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(masks.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(masks=MASKS, pixels=st.integers(-6, 6))
def test_dilation_is_scipys(masks: np.ndarray, pixels: int) -> None:
    ours = prepare_masks(of(masks), MaskConfig(dilate=pixels)).numpy()
    square = np.ones((2 * abs(pixels) + 1,) * 2)
    for mine, mask in zip(ours[:, 0], masks[:, 0], strict=True):
        if pixels < 0:  # what lies outside of the picture takes nothing away
            expected = ndimage.binary_erosion(mask, square, border_value=1)
        else:
            expected = ndimage.binary_dilation(mask, square)
        assert (mine == expected).all()


def test_dilation_by_a_share_of_the_shorter_side() -> None:
    mask = torch.zeros(1, 1, 40, 60)
    mask[..., 20, 30] = 1
    grown = prepare_masks(mask, MaskConfig(dilate_share=0.1))
    assert grown.sum() == 9 * 9
    assert torch.equal(grown, prepare_masks(mask, MaskConfig(dilate=4)))
    assert prepare_masks(grown, MaskConfig(dilate_share=-0.1)).equal(mask)


@settings(max_examples=60, deadline=None)
@given(masks=MASKS)
def test_box_is_the_smallest_that_holds_the_object(masks: np.ndarray) -> None:
    ours = bounding_boxes(of(masks)).numpy()
    for mine, mask in zip(ours[:, 0], masks[:, 0], strict=True):
        expected = np.zeros_like(mask)
        places = [(y, x) for y in range(mask.shape[0]) for x in range(mask.shape[1]) if mask[y, x]]
        if places:
            ys, xs = zip(*places, strict=True)
            for y in range(min(ys), max(ys) + 1):
                for x in range(min(xs), max(xs) + 1):
                    expected[y, x] = True
        assert (mine == expected).all()


def test_box_counts_pixels_that_are_object_for_half_or_more() -> None:
    mask = torch.zeros(1, 1, 5, 5)
    mask[..., 1, 1], mask[..., 3, 3], mask[..., 4, 4] = 0.5, 1.0, 0.49
    assert bounding_boxes(mask)[0, 0].nonzero().tolist() == [[y, x] for y in (1, 2, 3) for x in (1, 2, 3)]


@settings(max_examples=60, deadline=None)
@given(masks=MASKS, sigma=st.floats(0.05, 6))
def test_soft_edges_are_scipys_and_keep_the_sum(masks: np.ndarray, sigma: float) -> None:
    ours = soften(of(masks), sigma)
    expected = np.stack([[ndimage.gaussian_filter(m[0].astype(np.float64), sigma)] for m in masks])
    assert np.allclose(ours.numpy(), expected, atol=2e-6)
    assert torch.allclose(ours.sum((1, 2, 3)), of(masks).sum((1, 2, 3)), rtol=1e-4, atol=1e-4)
    assert ours.min() >= 0
    assert ours.max() <= 1 + 1e-5


def test_order_is_box_then_dilation_then_soft_edges_and_the_input_stays() -> None:
    mask = torch.zeros(1, 1, 30, 30)
    mask[..., 10, 10] = mask[..., 14, 18] = 1
    before = mask.clone()
    ours = prepare_masks(mask, MaskConfig(box=True, dilate=2, soften=1.5))
    box = np.zeros((30, 30))
    box[8:17, 8:21] = 1
    assert np.allclose(ours[0, 0].numpy(), ndimage.gaussian_filter(box, 1.5), atol=1e-6)
    assert torch.equal(mask, before)
    assert prepare_masks(mask, MaskConfig()) is mask, "nothing asked, nothing done"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), side=st.sampled_from([3, 5, 7]))
def test_resize_against_loops(seed: int, side: int) -> None:
    picture = 20
    masks = torch.rand(2, 1, picture, picture, generator=torch.Generator().manual_seed(seed)).double()
    for mine, mask in zip(resize_masks(masks, (side, side), "area"), masks[:, 0], strict=True):
        for y in range(side):
            for x in range(side):
                (top, left), (bottom, right) = (
                    (c * picture // side for c in (y, x)),
                    (-(-(c + 1) * picture // side) for c in (y, x)),
                )
                assert mine[y, x].item() == pytest.approx(mask[top:bottom, left:right].mean().item())
    step = picture / side
    for mine, mask in zip(resize_masks(masks, (side, side), "nearest"), masks[:, 0], strict=True):
        for y in range(side):
            for x in range(side):
                assert mine[y, x] == mask[int((y + 0.5) * step), int((x + 0.5) * step)]
    for mine, mask in zip(resize_masks(masks, (side, side), "bilinear"), masks[:, 0], strict=True):
        for y in range(side):
            for x in range(side):
                cy, cx = (y + 0.5) * step - 0.5, (x + 0.5) * step - 0.5
                y0, x0 = int(cy), int(cx)
                expected = sum(
                    (1 - abs(cy - yy)) * (1 - abs(cx - xx)) * mask[yy, xx].item()
                    for yy in (y0, y0 + 1)
                    for xx in (x0, x0 + 1)
                    if abs(cy - yy) < 1 and abs(cx - xx) < 1
                )
                assert mine[y, x].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"dilate": 2, "dilate_share": 0.1}, "contradict"),
        ({"dilate_share": 1.0}, "dilate_share"),
        ({"dilate": 1.5}, "dilate"),
        ({"soften": -1}, "soften"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(MaskConfig, values, source="the test")
