"""A map over its picture: the picture's own colours where there is no evidence, glowing where there is."""

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps
from PIL import Image

COLORMAP = "inferno"
"""Perceptually uniform; dark = low, bright = high. The same as in reports."""
STRONGEST = 0.85
"""Opacity of the largest value."""
PALE = 0.25
"""How much of the picture's colour is kept below a map, so that no red flower looks like evidence."""
UNSEEN = 0.35
"""Brightness of what the network did not see (fit="crop")."""
SPECKS = 99.5
"""Maps of single pixels have outliers; for the eye this percentile is the largest value."""

_LEVELS = np.arange(256) / 255
_PALETTE = (colormaps[COLORMAP](_LEVELS)[:, :3] * 255).round().astype(np.uint8)
_OPACITY = (STRONGEST * 255 * np.sqrt(_LEVELS) * np.clip(_LEVELS * 4, 0, 1)).round().astype(np.uint8)


def overlay(picture: Image.Image, values: np.ndarray, *, specks: bool = False) -> Image.Image:
    """The picture with a map over it, RGB, of the picture's size.

    Works on bytes, so that pictures of many megapixels fit.

    Args:
        picture: RGB, (width, height).
        values: (height, width) float in [0, 1]; NaN where the network did not see the picture.
        specks: the map has a value for every pixel (gradients), few of which are far above the others.
    """
    seen = np.isfinite(values)
    if specks and seen.any():
        top = float(np.percentile(values[seen], SPECKS))
        values = values / top if top > 0 else values
    levels = (np.where(seen, values, 0.0).clip(0, 1) * 255).round().astype(np.uint8)
    pale = Image.blend(picture.convert("L").convert("RGB"), picture, PALE)
    result = Image.composite(Image.fromarray(_PALETTE[levels]), pale, Image.fromarray(_OPACITY[levels]))
    if not seen.all():
        dark = Image.blend(Image.new("RGB", picture.size), pale, UNSEEN)
        result = Image.composite(result, dark, Image.fromarray(seen.astype(np.uint8) * 255))
    return result


def colorbar() -> Markup:
    """CSS gradient of the overlay's colours over mid grey, low to high."""
    steps = np.linspace(0, 255, 9).astype(int)
    shares = _OPACITY[steps][:, None] / 255
    colours = shares * _PALETTE[steps] + (1 - shares) * 127
    stops = ", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in colours)
    return Markup(f"linear-gradient(to right, {stops})")


def legend(width: int, height: int) -> Image.Image:
    """A bar of the overlay's colours over mid grey, low to high."""
    levels = np.linspace(0, 1, width, dtype=np.float32)
    return overlay(Image.new("RGB", (width, height), (127, 127, 127)), np.tile(levels, (height, 1)))
