"""Which pixels of a mask picture are object, against masks that were drawn here."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from foveate.data.annotations import find_mask, read_mask
from foveate.data.annotations.picture_masks import object_of

SIZE = (96, 80)


def blob() -> np.ndarray:
    """(80, 96) bool: an ellipse off the middle."""
    y, x = np.mgrid[:80, :96] + 0.5
    return ((x - 40) / 22) ** 2 + ((y - 45) / 17) ** 2 <= 1


def grey(inside: float, outside: float = 0) -> Image.Image:
    return Image.fromarray(np.where(blob(), inside, outside).astype(np.uint8))


def coloured(inside: tuple[int, int, int], outside: tuple[int, int, int]) -> Image.Image:
    return Image.composite(Image.new("RGB", SIZE, inside), Image.new("RGB", SIZE, outside), grey(255))


def with_ring(ring: int, inside: int) -> Image.Image:
    """A label map whose labels are lined by a ring of another value."""
    near = np.asarray(grey(255).filter(ImageFilter.MaxFilter(5))) > 0
    return Image.fromarray(np.where(blob(), inside, np.where(near, ring, 0)).astype(np.uint8))


SOFT = grey(255).filter(ImageFilter.GaussianBlur(3))
KINDS = {
    "0 and 255": (grey(255), "png", {}, ""),
    "0 and 1": (grey(1), "png", {}, ""),
    "fractions": (Image.fromarray(blob().astype(np.float32)), "tif", {}, ""),
    "16 bits": (Image.fromarray(blob().astype(np.uint16) * 65535), "png", {}, ""),
    "jpeg": (grey(255), "jpg", {"quality": 75}, "soft"),
    "1 and 255": (grey(255, 1), "png", {}, "no zero"),
    "labels on 255": (grey(1, 255), "png", {}, "no zero"),
    "red on white": (coloured((200, 0, 0), (255, 255, 255)), "png", {}, "no zero"),
    "green on black": (coloured((0, 128, 0), (0, 0, 0)), "png", {}, ""),
    "void ring": (with_ring(255, 5), "png", {}, "void"),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_object_is_found(tmp_path: Path, name: str) -> None:
    image, suffix, options, how = KINDS[name]
    image.save(tmp_path / f"a.{suffix}", **options)
    found = find_mask(tmp_path, f"png:a.{suffix}", SIZE)
    assert found.how == how
    assert np.array_equal(np.asarray(found.image) == 255, blob())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_soft_masks_are_cut_in_the_middle(dtype: type) -> None:
    shares = np.asarray(SOFT) / 255
    white = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    values = (shares * white).astype(dtype)
    got, how = object_of(values, lossy=False)
    assert how == "soft"
    assert np.array_equal(got, values > white / 2)
    assert (got & blob()).sum() / (got | blob()).sum() > 0.97
    assert (np.asarray(values) > 0).mean() > 1.5 * blob().mean()  # what counting everything but 0 would take


def test_label_maps_are_every_label() -> None:
    values = np.zeros((80, 96), dtype=np.uint8)
    for label in range(1, 41):  # forty instances
        values[2 * (label - 1) : 2 * label, 10:50] = label
    assert np.array_equal(object_of(values, lossy=False)[0], values > 0)
    few = np.where(blob(), 200, 0).astype(np.uint8)
    few[40:44, 40:44] = 90
    assert np.array_equal(object_of(few, lossy=False)[0], blob())


def test_255_is_void_only_beside_small_labels_that_cover_more() -> None:
    void, how = object_of(np.asarray(with_ring(255, 7)), lossy=False)
    assert (how, int(void.sum())) == ("void", int(blob().sum()))
    edge, how = object_of(np.asarray(with_ring(50, 255)), lossy=False)  # an outline of antialiasing
    assert how == "labels"
    assert np.array_equal(edge, np.asarray(with_ring(50, 255)) > 0)


@pytest.mark.parametrize(("inside", "quality"), [(255, 20), (100, 75), (1, 95)])
def test_poor_and_dark_jpegs(tmp_path: Path, inside: int, quality: int) -> None:
    grey(inside).save(tmp_path / "a.jpg", quality=quality)
    got = np.asarray(read_mask(tmp_path, "png:a.jpg", SIZE)) == 255
    assert (got & blob()).sum() / (got | blob()).sum() > 0.95


def test_one_value_and_nan() -> None:
    assert not object_of(np.zeros((4, 4), np.uint8), lossy=False)[0].any()
    assert object_of(np.full((4, 4), 9, np.uint8), lossy=False)[0].all()
    values = np.where(blob(), 1.0, np.nan)
    assert np.array_equal(object_of(values, lossy=False)[0], blob())


def test_several_files_are_united(tmp_path: Path) -> None:
    left, right = blob(), blob()
    left[:, 40:], right[:, :50] = False, False
    for name, part in (("a", left), ("b", right)):
        Image.fromarray(part).save(tmp_path / f"{name}.png")
    got = np.asarray(read_mask(tmp_path, "png:a.png|b.png", SIZE)) == 255
    assert np.array_equal(got, left | right)
