"""Pictures become squares, and maps of squares lie over pictures again."""

import numpy as np
import pytest
from PIL import Image

from foveate.core.errors import ConfigError
from foveate.data.square import Fit, at_side, resize, resize_mask, unfit
from foveate.experiment import Experiment


def gradient(width: int = 60, height: int = 40) -> Image.Image:
    """A smooth picture without any symmetry."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray((np.stack([x, y, x * y], axis=2) * 255).astype(np.uint8))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("size", [(64, 32), (32, 64), (50, 37), (7, 90), (1, 300), (33, 33)])
@pytest.mark.parametrize("side", [8, 31, 96])
def test_resize_geometry(size: tuple[int, int], side: int) -> None:
    image = gradient(*size)
    white = Image.new("L", size, 255)
    for fit in ("squash", "crop", "pad"):
        assert resize(image, side, fit).size == (side, side)
        assert resize_mask(white, side, fit).size == (side, side)
    assert np.array_equal(
        pixels(resize(image, side, "squash")), pixels(image.resize((side, side), Image.Resampling.BILINEAR))
    )
    bicubic = pixels(image.resize((side, side), Image.Resampling.BICUBIC))
    assert np.array_equal(pixels(resize(image, side, "squash_bicubic")), bicubic)
    for fit in ("squash", "crop", "pad"):
        smooth: Fit = f"{fit}_bicubic"  # type: ignore[assignment]
        assert (
            np.abs(pixels(resize(image, side, smooth)).astype(int) - pixels(resize(image, side, fit))).mean()
            < 8
        )
        assert np.array_equal(pixels(resize_mask(white, side, smooth)), pixels(resize_mask(white, side, fit)))
    for fit in ("squash", "crop"):
        assert (pixels(resize_mask(white, side, fit)) == 255).all()
    covered = pixels(resize_mask(white, side, "pad")) == 255
    rows, columns = covered.any(axis=1).sum(), covered.any(axis=0).sum()
    assert max(rows, columns) == side
    assert abs(rows - max(1, side * size[1] / max(size))) <= 0.5
    assert abs(columns - max(1, side * size[0] / max(size))) <= 0.5
    assert (pixels(resize(image, side, "pad"))[~covered] == 127).all()


def test_crop_takes_the_centre() -> None:
    image = np.zeros((40, 100, 3), dtype=np.uint8)
    image[:, 30:70] = 255
    assert (pixels(resize(Image.fromarray(image), 20, "crop"))[:, 1:-1] == 255).all()
    wide = np.zeros((40, 100), dtype=np.uint8)
    wide[:, 30:70] = 255
    assert (pixels(resize_mask(Image.fromarray(wide), 20, "crop")) == 255).all()


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_picture_and_mask_stay_aligned(fit: Fit) -> None:
    mask = np.zeros((61, 97), dtype=np.uint8)
    mask[13:40, 35:77] = 255
    image = Image.fromarray(np.repeat(mask[..., None], 3, axis=2))
    for side in (24, 150):
        grey = pixels(resize(image, side, fit))[..., 0]
        got = pixels(resize_mask(Image.fromarray(mask), side, fit))
        assert set(np.unique(got)) == {0, 255}
        certain = (grey < 20) | (grey > 235)
        assert np.array_equal(grey[certain] > 127, got[certain] > 127)
        assert certain[got > 0].mean() > 0.6  # padding is grey, so never certain


def test_soft_masks_keep_the_area() -> None:
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[10:13, 5:50] = 255
    soft = pixels(resize_mask(Image.fromarray(mask), 8, soft=True))
    assert abs(soft.mean() - mask.mean()) < 0.5
    assert pixels(resize_mask(Image.fromarray(mask), 8)).max() == 0


def test_an_unknown_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="one of squash, crop and pad"):
        resize(gradient(), 8, "stretch")  # type: ignore[arg-type]


@pytest.mark.parametrize("fit", ["squash", "crop", "pad", "squash_bicubic", "crop_bicubic", "pad_bicubic"])
@pytest.mark.parametrize(("width", "height"), [(60, 40), (40, 60), (50, 50), (120, 17)])
def test_a_map_of_the_square_is_laid_back_over_the_picture(fit: Fit, width: int, height: int) -> None:
    picture = gradient(width, height)
    square = pixels(resize(picture, 64, fit))
    for target in ((width, height), (width // 2, height // 2), (2 * width, 2 * height)):
        expected = pixels(picture.resize(target, Image.Resampling.BILINEAR))[..., 0]
        back = unfit(square[..., 0], (width, height), fit, target)
        assert back.shape == (target[1], target[0])
        seen = np.isfinite(back)
        if fit.startswith("crop"):
            assert seen.mean() == pytest.approx(min(width, height) / max(width, height), abs=0.05)
            assert seen[target[1] // 2, target[0] // 2]
        else:
            assert seen.all()
        interior = seen & np.pad(np.ones((target[1] - 4, target[0] - 4), dtype=bool), 2)
        assert np.abs(back - expected)[interior].max() < 14, "a shift of one pixel of the square is 4"
        assert abs((back - expected)[interior].mean()) < 4
    with pytest.raises(ValueError, match="one of squash, crop and pad"):
        unfit(square[..., 0], (width, height), "stretch", (8, 8))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", ["squash", "crop_bicubic", "pad"])
@pytest.mark.parametrize(("width", "height"), [(60, 40), (40, 60), (50, 50)])
def test_of_a_larger_square_the_middle_is_seen(shape: str, width: int, height: int) -> None:
    picture, mask = gradient(width, height), Image.new("L", (width, height))
    mask.paste(255, (width // 3, height // 3, width // 2, height - 5))
    for side in (55, 56):
        start = (side - 44) // 2
        inside = slice(start, start + 44)
        assert np.array_equal(
            pixels(resize(picture, 44, f"{shape}@{side}")),
            pixels(resize(picture, side, shape))[inside, inside],
        )
        assert np.array_equal(
            pixels(resize_mask(mask, 44, f"{shape}@{side}")),
            pixels(resize_mask(mask, side, shape))[inside, inside],
        )
    assert np.array_equal(pixels(resize(picture, 44, f"{shape}@44")), pixels(resize(picture, 44, shape)))


@pytest.mark.parametrize("shape", ["squash", "crop", "pad"])
@pytest.mark.parametrize(("width", "height"), [(60, 40), (40, 60), (50, 50)])
def test_a_map_of_the_middle_lies_over_the_middle(shape: str, width: int, height: int) -> None:
    """The square is 80 px wide, its middle 64."""
    picture = gradient(width, height)
    square = pixels(resize(picture, 64, f"{shape}@80"))
    for target in ((width, height), (2 * width, 2 * height)):
        back = unfit(square[..., 0], (width, height), f"{shape}@80", target, side=64)
        whole = unfit(pixels(resize(picture, 80, shape))[..., 0], (width, height), shape, target, side=80)
        rows, columns = np.mgrid[: target[1], : target[0]]
        inside = np.isfinite(back)
        if shape == "squash":  # of each line the middle four fifths
            for place, length in ((rows, target[1]), (columns, target[0])):
                near = np.abs((place + 0.5) / length - 0.5)
                assert inside[:, :][(near < 0.38) & inside.any()].any()
                assert not inside[near > 0.42].any()
            assert inside.mean() == pytest.approx(0.64, abs=0.04)
        assert inside[target[1] // 2, target[0] // 2]
        # The map ends where it is seen, so its outermost pixels are not mixed with what lies beyond.
        assert np.nanmax(np.abs(back - whole)) < 6
        assert np.nanmean(np.abs(back - whole)) < 1
        small = unfit(square[::4, ::4, 0], (width, height), f"{shape}@80", target, side=64)
        assert np.array_equal(np.isfinite(small), inside)


def test_at_another_side_the_same_part_is_seen() -> None:
    assert at_side("squash@550", 448, 224) == "squash@275"
    assert at_side("pad_bicubic", 448, 224) == "pad_bicubic"
    assert at_side("squash@550", 448, 448) == "squash@550"


@pytest.mark.parametrize("fit", ["stretch", "squash@", "squash@8", "squash@large", "@550", "bicubic"])
def test_a_fit_that_does_not_exist_is_named(fit: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.fit: it is one of squash, crop and pad"):
        Experiment.from_dict({"data": {"fit": fit}})


def test_a_square_smaller_than_what_is_seen_of_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="a square of 300 px, of which the network is to see 448 px"):
        resize(gradient(), 448, "squash@300")
    with pytest.raises(ConfigError, match="a square of 300 px, of which the network is to see 448 px"):
        Experiment.from_dict({"data": {"fit": "squash@300", "size": 448}})
    with pytest.raises(ConfigError, match=r"data\.cache\.size 320"):
        Experiment.from_dict({"data": {"fit": "squash@300", "size": 224, "cache": {"size": 320}}})
