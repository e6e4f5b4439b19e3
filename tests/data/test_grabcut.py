"""GrabCut on drawn pictures: the object is found from every prior, the same every time, and bad cases are doubted."""

import builtins
import math
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from foveate.core.errors import ConfigError, DataError
from foveate.data.grabcut import (
    BACKGROUND,
    LIKELY_BACKGROUND,
    LIKELY_OBJECT,
    OBJECT,
    USED,
    ProposeConfig,
    boxes_of,
    centre_shape,
    contrast,
    cut,
    grab_cut,
    rim,
    seeds_from_boxes,
    seeds_from_centre,
    seeds_from_map,
    tidy,
    to_picture,
    working_size,
)

CONFIG = ProposeConfig()


def ellipse(height: int, width: int, y: float, x: float, ry: float, rx: float) -> np.ndarray:
    """(height, width) bool, centre and radii in pixels."""
    rows, columns = np.mgrid[:height, :width]
    return np.asarray(((rows - y) / ry) ** 2 + ((columns - x) / rx) ** 2 <= 1)


def painted(mask: np.ndarray, seed: int = 0, noise: float = 12.0) -> np.ndarray:
    """(H, W, 3) uint8: a reddish object on a greenish ground, both noisy."""
    rng = np.random.default_rng(seed)
    colours = np.where(mask[..., None], (190.0, 70.0, 60.0), (80.0, 140.0, 90.0))
    return np.asarray((colours + rng.normal(0, noise, colours.shape)).clip(0, 255).astype(np.uint8))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("shape", ["ellipse", "rectangle"])
def test_a_blob_in_the_middle_is_found_from_the_centre(share: float, shape: Any) -> None:
    mask = ellipse(90, 120, 48, 55, 27, 38)
    seeds = seeds_from_centre(90, 120, ProposeConfig(share=share, shape=shape))
    found = cut(painted(mask), seeds, iterations=5, seed=1)
    assert iou(found.mask, mask) > 0.95 > iou(centre_shape(90, 120, share, shape), mask)
    assert found.doubts == ()


def test_a_blob_in_a_corner_is_found_from_its_box_and_not_from_the_centre() -> None:
    mask = ellipse(100, 100, 22, 78, 12, 15)
    picture = painted(mask)
    inside = np.zeros_like(mask)
    inside[6:40, 58:97] = True
    assert iou(cut(picture, seeds_from_boxes(inside), iterations=5, seed=1, regions=inside).mask, mask) > 0.95
    centre = ProposeConfig(share=0.1)
    assert iou(cut(picture, seeds_from_centre(100, 100, centre), iterations=1, seed=1).mask, mask) < 0.9


def test_every_box_keeps_its_own_object() -> None:
    left, right = ellipse(80, 160, 40, 40, 18, 20), ellipse(80, 160, 40, 120, 14, 14)
    inside = boxes_of(left | right)
    inside[:, 78:82] = False
    assert boxes_of(left | right).sum() == 37 * 41 + 29 * 29
    found = cut(painted(left | right), seeds_from_boxes(inside), iterations=5, seed=1, regions=inside)
    assert iou(found.mask, left | right) > 0.9
    alone = cut(painted(left | right), seeds_from_boxes(inside), iterations=5, seed=1)
    assert iou(alone.mask, left) > 0.9, "without regions only the largest piece is kept"


def test_the_core_of_a_box_finds_what_has_the_colours_of_the_surroundings() -> None:
    mask, far = ellipse(100, 100, 30, 30, 14, 14), ellipse(100, 100, 75, 70, 22, 28)
    picture, inside = painted(mask | far), boxes_of(mask)
    found = cut(picture, seeds_from_boxes(inside, 0.08), iterations=5, seed=1, regions=inside)
    assert iou(found.mask, mask) > 0.9
    seeds = seeds_from_boxes(boxes_of(mask | far), 0.1)
    assert set(np.unique(seeds)) == {BACKGROUND, OBJECT, LIKELY_OBJECT}
    assert (seeds == OBJECT).sum() == pytest.approx(0.1 * boxes_of(mask | far).sum(), rel=0.1)
    assert (seeds == OBJECT)[30, 30]
    assert (seeds == OBJECT)[75, 70]


def test_a_box_of_the_whole_picture_leaves_a_rim() -> None:
    seeds = seeds_from_boxes(np.ones((20, 30), dtype=bool))
    assert (seeds == BACKGROUND).sum() == 2 * 20 + 2 * 28
    mask = ellipse(60, 60, 30, 30, 15, 18)
    assert (
        iou(cut(painted(mask), seeds_from_boxes(np.ones_like(mask)), iterations=5, seed=1).mask, mask) > 0.95
    )


def test_a_blob_is_found_from_a_coarse_class_map_beside_it() -> None:
    mask = ellipse(96, 96, 35, 60, 20, 24)
    rows, columns = np.mgrid[:96, :96]
    values = np.exp(-((rows - 38) ** 2 + (columns - 56) ** 2) / 300).astype(np.float32)
    found = cut(painted(mask), seeds_from_map(values, CONFIG), iterations=5, seed=1).mask
    assert iou(found, mask) > 0.95 > iou(values > values.max() / 2, mask)


def test_seeds_from_a_map_follow_the_quantiles() -> None:
    config = ProposeConfig(sure_background=0.2, sure_object=0.8, rim=0)
    values = np.arange(100, dtype=np.float32).reshape(10, 10)
    seeds = seeds_from_map(values, config).ravel()
    low, middle, high = np.quantile(values, (0.2, 0.5, 0.8))
    for seed, value in zip(seeds, range(100), strict=True):
        expected = (
            OBJECT if value >= high else BACKGROUND if value < low
            else LIKELY_OBJECT if value > middle else LIKELY_BACKGROUND
        )  # fmt: skip
        assert seed == expected, value
    values[:5] = np.nan
    unseen = seeds_from_map(values, config)
    assert (unseen[:5] == LIKELY_BACKGROUND).all()
    assert (unseen == OBJECT).sum() == 10
    assert (seeds_from_map(values, CONFIG)[0] == BACKGROUND).all(), "the rim"


def test_the_same_seed_gives_the_same_mask_whatever_ran_before() -> None:
    mask = ellipse(80, 80, 40, 40, 25, 20)
    picture, seeds = painted(mask, noise=60), seeds_from_centre(80, 80, CONFIG)
    before = seeds.copy(), picture.copy()
    first = grab_cut(picture, seeds, iterations=3, seed=7)
    cv2.setRNGSeed(99)
    grab_cut(painted(mask, seed=3), seeds, iterations=2, seed=2**62 + 5)
    threads = cv2.getNumThreads()
    try:
        for number in (1, 2, 5):
            cv2.setNumThreads(number)
            np.testing.assert_array_equal(grab_cut(picture, seeds, iterations=3, seed=7), first)
            assert cv2.getNumThreads() == number
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(grab_cut(picture, seeds, iterations=3, seed=7), first)
    np.testing.assert_array_equal(seeds, before[0])
    np.testing.assert_array_equal(picture, before[1])


def test_channels_are_red_green_blue() -> None:
    mask = ellipse(60, 60, 30, 30, 15, 15)
    picture, seeds = painted(mask, noise=40), seeds_from_centre(60, 60, CONFIG)
    labels = seeds.copy()
    cv2.setRNGSeed(4)
    cv2.grabCut(
        cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 2,
        cv2.GC_INIT_WITH_MASK,
    )  # fmt: skip
    np.testing.assert_array_equal(grab_cut(picture, seeds, iterations=2, seed=4), np.isin(labels, (1, 3)))


@pytest.mark.parametrize(
    ("value", "missing"), [(BACKGROUND, "object"), (LIKELY_BACKGROUND, "object"), (OBJECT, "background")]
)
def test_a_prior_without_object_or_background_is_one_sentence(value: int, missing: str) -> None:
    seeds = np.full((20, 20), value, dtype=np.uint8)
    with pytest.raises(DataError, match=f"the prior marks no {missing}"):
        grab_cut(np.zeros((20, 20, 3), dtype=np.uint8), seeds, iterations=1, seed=0)


def test_a_flat_class_map_marks_no_object() -> None:
    seeds = seeds_from_map(np.zeros((30, 30), dtype=np.float32), CONFIG)
    with pytest.raises(DataError, match="marks no object"):
        grab_cut(np.zeros((30, 30, 3), dtype=np.uint8), seeds, iterations=1, seed=0)
    nothing = seeds_from_map(np.full((30, 30), np.nan, dtype=np.float32), CONFIG)
    with pytest.raises(DataError, match="marks no object"):
        grab_cut(np.zeros((30, 30, 3), dtype=np.uint8), nothing, iterations=1, seed=0)


def test_what_opencv_refuses_is_one_sentence() -> None:
    seeds = seeds_from_centre(30, 30, CONFIG)
    with pytest.raises(DataError, match=r"OpenCV gave up \(.+\)"):
        grab_cut(np.zeros((20, 30, 3), dtype=np.uint8), seeds, iterations=1, seed=0)


def test_tiny_and_flat_pictures_do_not_break() -> None:
    for height, width in ((1, 1), (2, 2), (3, 5), (8, 8)):
        picture = np.full((height, width, 3), 90, dtype=np.uint8)
        try:
            cut(picture, seeds_from_centre(height, width, CONFIG), iterations=2, seed=0)
        except DataError as error:
            assert "marks no" in str(error)  # noqa: PT017
    flat = cut(np.full((40, 40, 3), 90, np.uint8), seeds_from_centre(40, 40, CONFIG), iterations=3, seed=0)
    assert flat.doubts, "nothing can be told apart in a flat picture"


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "cv2":
            raise ImportError("No module named 'cv2'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    seeds = seeds_from_centre(20, 20, CONFIG)
    with pytest.raises(ConfigError, match=r"pip install foveate\[masks\]"):
        grab_cut(np.zeros((20, 20, 3), dtype=np.uint8), seeds, iterations=1, seed=0)


def doubts_of(monkeypatch: pytest.MonkeyPatch, found: np.ndarray, **arguments: Any) -> tuple[str, ...]:
    import foveate.data.grabcut as module

    monkeypatch.setattr(module, "grab_cut", lambda *a, **k: found)
    seeds = np.zeros(found.shape, dtype=np.uint8)
    return cut(painted(found), seeds, iterations=1, seed=0, **arguments).doubts


def test_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    middle = np.zeros((100, 100), dtype=bool)
    middle[30:70, 30:70] = True
    assert doubts_of(monkeypatch, middle) == ()
    assert doubts_of(monkeypatch, np.zeros_like(middle)) == ("nothing was found",)
    nearly = np.ones_like(middle)
    nearly[:, :5] = False
    assert doubts_of(monkeypatch, nearly) == ("covers nearly everything",)
    speck = np.zeros_like(middle)
    speck[50:53, 50:53] = True
    assert doubts_of(monkeypatch, speck) == ("very small",)
    cross = np.zeros_like(middle)
    cross[45:55], cross[:, 45:55] = True, True
    assert doubts_of(monkeypatch, cross) == ("touches all four sides",)
    pieces = middle.copy()
    pieces[2:28], pieces[72:98] = True, True
    assert "in several pieces, of which the largest is kept" in doubts_of(monkeypatch, pieces)
    boxes = np.ones_like(middle)
    assert doubts_of(monkeypatch, middle, regions=boxes) == ("fills little of its box",)
    import foveate.data.grabcut as module

    monkeypatch.setattr(module, "grab_cut", lambda *a, **k: middle)
    grey = np.full((100, 100, 3), 120, dtype=np.uint8)
    assert cut(grey, middle.astype(np.uint8), iterations=1, seed=0).doubts == ("low contrast",)


def test_contrast_is_a_colour_difference_in_cielab() -> None:
    mask = np.zeros((100, 100), dtype=bool)
    mask[20:80, 20:80] = True
    picture = np.where(mask[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    assert contrast(picture, mask) == pytest.approx(100, abs=0.1), "white on black: L* 100 against 0"
    grey = np.where(mask[..., None], np.uint8(119), np.uint8(0)).repeat(3, axis=2)
    assert contrast(grey, mask) == pytest.approx(50, abs=0.5), "sRGB 119 is middle grey, L* 50"
    far = grey.copy()
    far[40:60, 40:60] = 255  # deep inside: not beside the outline
    assert contrast(far, mask) == contrast(grey, mask)
    assert math.isnan(contrast(grey, np.zeros_like(mask)))
    assert math.isnan(contrast(grey, np.ones_like(mask)))


def test_tidy_keeps_the_largest_piece_and_fills_holes() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:12, 2:12], mask[5:8, 5:8], mask[15:18, 15:18] = True, False, True
    expected = np.zeros_like(mask)
    expected[2:12, 2:12] = True
    np.testing.assert_array_equal(tidy(mask), expected)
    assert not tidy(np.zeros_like(mask)).any()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.75])
@pytest.mark.parametrize("shape", ["ellipse", "rectangle"])
def test_the_centre_shape_has_the_area_that_was_asked_for(share: float, shape: str) -> None:
    found = centre_shape(300, 500, share, shape)
    assert found.mean() == pytest.approx(share, rel=0.02)
    np.testing.assert_array_equal(found, found[::-1, ::-1])


def test_rim_and_working_size() -> None:
    assert rim(50, 100, 0.02).sum() == 50 * 100 - 48 * 96
    assert not rim(50, 100, 0).any()
    assert rim(1, 1, 0.1).all()
    assert working_size((1000, 500), 256) == (256, 128)
    assert working_size((100, 50), 256) == (100, 50)
    assert working_size((5000, 1), 256) == (256, 1)


def test_a_mask_is_scaled_to_the_picture_without_a_shift() -> None:
    small = ellipse(64, 96, 30, 50, 20, 28)
    large = np.asarray(to_picture(small, (960, 640)))
    assert set(np.unique(large)) == {0, 255}
    truth = ellipse(640, 960, 30 * 10 + 4.5, 50 * 10 + 4.5, 200, 280)
    assert iou(large > 0, truth) > 0.98
    np.testing.assert_array_equal(np.asarray(to_picture(small, (96, 64))) > 0, small)


def test_every_setting_is_read_by_a_prior_or_by_all() -> None:
    fields = {name for names in USED.values() for name in names} | {"prior", "iterations", "side"}
    assert fields == set(ProposeConfig.model_fields)
    assert set(USED) | {"auto"} == set(ProposeConfig.model_fields["prior"].annotation.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"prior": "left"}, "centre"),
        ({"share": 0}, "greater than 0"),
        ({"share": 1}, "less than 1"),
        ({"iterations": 0}, "greater than or equal to 1"),
        ({"sure_background": 0.9, "sure_object": 0.5}, r"sure_background \(0.9\) must be below sure_object \(0.5\)"),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ProposeConfig(**values)
