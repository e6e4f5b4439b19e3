"""Maps over pictures: nothing is added where there is no evidence, and more evidence is brighter."""

import numpy as np
from PIL import Image

from foveate.reporting.overlays import PALE, colorbar, legend, overlay


def test_opacity_follows_the_map() -> None:
    picture = Image.new("RGB", (101, 3), (200, 40, 40))
    values = np.tile(np.linspace(0, 1, 101, dtype=np.float32), (3, 1))
    drawn = np.asarray(overlay(picture, values), dtype=float)
    grey = np.asarray(picture.convert("L").convert("RGB"), dtype=float)
    plain = PALE * np.asarray(picture, dtype=float) + (1 - PALE) * grey
    np.testing.assert_allclose(drawn[:, 0], plain[:, 0], atol=1.5)
    luminance = drawn[0] @ [0.2126, 0.7152, 0.0722]
    assert np.diff(luminance[30:]).min() > -1.5, "brightness rises with the evidence"
    assert luminance[-1] > luminance[30] + 80


def test_what_was_not_seen_is_dark() -> None:
    picture = Image.new("RGB", (20, 10), (200, 200, 200))
    values = np.full((10, 20), np.nan, dtype=np.float32)
    values[:, 5:15] = 0
    drawn = np.asarray(overlay(picture, values))
    assert drawn.shape == (10, 20, 3)
    assert drawn[:, :5].max() < 80
    assert drawn[:, 15:].max() < 80
    assert drawn[:, 5:15].min() > 190
    assert np.asarray(overlay(picture, np.full((10, 20), np.nan))).max() < 80


def test_one_speck_does_not_hide_the_rest() -> None:
    picture = Image.new("RGB", (50, 50))
    values = np.full((50, 50), 0.1, dtype=np.float32)
    values[0, 0] = 1
    faint, clear = (
        np.asarray(overlay(picture, values, specks=specks), dtype=int) for specks in (False, True)
    )
    assert clear[25, 25].sum() > faint[25, 25].sum() + 200
    nothing = overlay(picture, np.zeros((50, 50), dtype=np.float32), specks=True)
    assert np.asarray(nothing).max() == 0


def test_the_legend_is_the_overlay() -> None:
    bar = np.asarray(legend(9, 2))
    drawn = overlay(Image.new("RGB", (9, 2), (127, 127, 127)), np.tile(np.linspace(0, 1, 9), (2, 1)))
    np.testing.assert_array_equal(bar, np.asarray(drawn))
    stops = colorbar().split("rgb(")[1:]
    css = np.array([[int(value) for value in stop.split(")")[0].split()] for stop in stops])
    np.testing.assert_allclose(css, bar[0], atol=6)
