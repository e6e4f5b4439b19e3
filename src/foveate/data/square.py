"""How a picture becomes the square that the network sees, and how a map of that square lies over the picture."""

from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import AfterValidator

from foveate.core.errors import ConfigError

PAD_GREY = 127
SHAPES = ("squash", "crop", "pad")


def _known(fit: str) -> str:
    shape, at, side = fit.partition("@")
    if shape.removesuffix("_bicubic") not in SHAPES or (at and not (side.isdecimal() and int(side) >= 16)):
        raise ValueError(
            "it is one of squash, crop and pad, with or without _bicubic, and may end in @ and a side of 16 px or more"
        )
    return fit


Fit = Annotated[str, AfterValidator(_known)]
"""One of ``SHAPES``, with or without "_bicubic", then "@SIDE" where the network sees a part; see ``resize``."""


def whole(fit: Fit, size: int) -> tuple[Fit, int]:
    """How the whole picture is brought to a square, and its side: ``size``, or more where the network sees a part.

    Raises:
        ConfigError: the square is smaller than what the network sees of it.
    """
    shape, _, side = _known(fit).partition("@")
    if side and int(side) < size:
        raise ConfigError(
            f"data.fit is '{fit}', a square of {side} px, of which the network is to see {size} px; make it larger, or "
            "data.size smaller."
        )
    return shape, int(side or size)


def at_side(fit: Fit, size: int, side: int) -> Fit:
    """The same part of the picture in ``side`` px that ``fit`` shows in ``size`` px."""
    shape, square = whole(fit, size)
    return f"{shape}@{round(square * side / size)}" if square > size else fit


def resampling(fit: Fit) -> Literal["bilinear", "bicubic"]:
    """How pixels are made that lie between those of the picture."""
    return "bicubic" if fit.partition("@")[0].endswith("_bicubic") else "bilinear"


def resize(image: Image.Image, size: int, fit: Fit = "squash") -> Image.Image:
    """A ``size`` x ``size`` picture, bilinear or bicubic (both with antialias) as ``fit`` says.

    Args:
        image: any size, mode RGB or L.
        size: side of the result in pixels.
        fit: "squash" squeezes the whole picture into the square (nothing is lost); "crop" takes the largest
            centred square; "pad" keeps shape and content and fills the rest with mid grey (127). With "_bicubic"
            behind it, bicubic: sharper where pictures are enlarged. With "@550" behind that the square has 550 px, and
            the result is its middle.

    Raises:
        ConfigError: see ``whole``.
    """
    return _fit(image, size, fit, Image.Resampling[resampling(fit).upper()], PAD_GREY)


def resize_mask(mask: Image.Image, size: int, fit: Fit = "squash", *, soft: bool = False) -> Image.Image:
    """The mask (mode L, 0/255) of ``resize(image, size, fit)``: same geometry, padding is background (0).

    A pixel is object (255) when at least half of its area is; with ``soft`` it carries the share, 0 to 255.
    """
    area = _fit(mask, size, fit, Image.Resampling.BOX, 0)
    return area if soft else area.point([0] * 128 + [255] * 128)


def unfit(
    values: np.ndarray, size: tuple[int, int], fit: Fit, target: tuple[int, int], side: int | None = None
) -> np.ndarray:
    """A map of ``resize(picture, ..., fit)`` laid back over the picture: (height, width) float32 of ``target``.

    Args:
        values: (h, w) float, covers the square that ``resize`` made; brought over bilinearly.
        size: (width, height) of the picture.
        fit: how it was brought to a square.
        target: (width, height) of the result; the picture's shape at any scale.
        side: of what the network sees in pixels, which "@SIDE" needs, and which undoes the whole pixels of "pad"
            exactly; None: the picture's longer side, as if it had not been shrunk.

    Places of the picture that the square does not show ("crop", "@SIDE") are NaN.
    """
    square = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    shape, outer = whole(fit, side or max(size))
    side = side or max(size)
    if outer > side:
        shown = np.asarray(square.resize((side, side), Image.Resampling.BILINEAR))
        before = (outer - side) // 2
        margins = (before, outer - side - before)
        seen = unfit(np.pad(np.ones_like(shown), margins), size, shape, target, outer)
        over = unfit(np.pad(shown, margins, mode="edge"), size, shape, target, outer)
        return np.where(seen >= 0.5, over, np.float32(np.nan))
    kind = shape.removesuffix("_bicubic")
    if kind == "squash":
        return np.asarray(square.resize(target, Image.Resampling.BILINEAR))
    if kind == "pad":
        (width, height), (left, top) = _placed(size, side)
        scale = square.width / side, square.height / side
        box = (left * scale[0], top * scale[1], (left + width) * scale[0], (top + height) * scale[1])
        return np.asarray(square.resize(target, Image.Resampling.BILINEAR, box=box))
    x, y = target[0] / size[0], target[1] / size[1]
    first, high, last, low = (
        round(edge * k) for edge, k in zip(_centre_square(size), (x, y, x, y), strict=True)
    )
    over = np.full((target[1], target[0]), np.nan, dtype=np.float32)
    inner = square.resize((max(1, last - first), max(1, low - high)), Image.Resampling.BILINEAR)
    over[high:low, first:last] = np.asarray(inner)[: low - high, : last - first]
    return over


def _fit(image: Image.Image, size: int, fit: Fit, resample: Image.Resampling, padding: int) -> Image.Image:
    shape, side = whole(fit, size)
    kind = shape.removesuffix("_bicubic")
    placed, corner = _placed(image.size, side) if kind == "pad" else ((side, side), (0, 0))
    square = image.resize(placed, resample, box=_centre_square(image.size) if kind == "crop" else None)
    if kind == "pad":
        around = Image.new(image.mode, (side, side), (padding,) * len(image.getbands()))
        around.paste(square, corner)
        square = around
    start = (side - size) // 2
    return square if side == size else square.crop((start, start, start + size, start + size))


def _placed(size: tuple[int, int], side: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """For "pad": ((width, height) of the shrunk picture, its (left, top) in the square)."""
    scale = side / max(size)
    width, height = (max(1, round(length * scale)) for length in size)
    return (width, height), ((side - width) // 2, (side - height) // 2)


def _centre_square(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """For "crop": (left, top, right, bottom) of the largest centred square, in source pixels."""
    width, height = size
    side = min(size)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side
