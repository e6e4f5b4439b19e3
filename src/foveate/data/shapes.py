"""Drawn shapes -> (H, W) bool arrays: boxes, polygons, bitmaps, run lengths; and closing of gaps.

Everything here raises ValueError with a reason; ``annotations`` knows the file it came from and says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pycocotools import mask as coco_mask
from scipy import ndimage

CLOSING_RADIUS = 0.01
"""Radius of the closing of united parts, as a share of the short side: fills gaps between strokes."""
OVERSHOOT = 0.05
"""How far a shape may reach over the edge, as a share of the side, before it is taken for a mistake."""
ELLIPSE_CORNERS = 120

Extent = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels; corners are pixel edges, so 0,0,10,10 covers ten columns and ten rows."""


class Shape(Protocol):
    """Something drawn on a picture, in its pixels."""

    @property
    def extent(self) -> Extent:
        """The box around it."""

    def draw(self, width: int, height: int) -> np.ndarray:
        """(height, width) bool, True inside; what reaches over the edge is cut."""


@dataclass(frozen=True)
class Box:
    """A pixel belongs to a box that covers its centre.

    Raises:
        ValueError: it has no area.
    """

    extent: Extent

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.extent
        if not (x0 < x1 and y0 < y1 and all(map(math.isfinite, self.extent))):
            text = ",".join(f"{edge:g}" for edge in self.extent)
            raise ValueError(f"box {text} has no area (x0 < x1 and y0 < y1 are needed)")

    def draw(self, width: int, height: int) -> np.ndarray:
        mask = np.zeros((height, width), dtype=bool)
        left, top, right, bottom = (max(0, math.ceil(edge - 0.5)) for edge in self.extent)
        mask[top:bottom, left:right] = True
        return mask


@dataclass(frozen=True)
class Polygon:
    """Corners x, y; drawn as pycocotools draws.

    Raises:
        ValueError: fewer than three corners, or one that is not finite.
    """

    corners: Sequence[tuple[float, float]]

    def __post_init__(self) -> None:
        if len(self.corners) < 3:
            raise ValueError("a polygon needs at least three points")
        if not np.isfinite(self.corners).all():
            raise ValueError("a polygon has a point that is not finite")

    @property
    def extent(self) -> Extent:
        x, y = zip(*self.corners, strict=True)
        return min(x), min(y), max(x), max(y)

    def draw(self, width: int, height: int) -> np.ndarray:
        flat = np.asarray(self.corners, dtype=np.float64).ravel().tolist()
        (runs,) = coco_mask.frPyObjects([flat], height, width)
        return Runs(unpack_runs(runs["counts"]), width, height).draw(width, height)


@dataclass(frozen=True)
class Bitmap:
    """Pixels whose first column and row lie at (left, top) of the picture."""

    pixels: np.ndarray
    """(h, w) bool"""
    left: int = 0
    top: int = 0

    @property
    def extent(self) -> Extent:
        height, width = self.pixels.shape
        return self.left, self.top, self.left + width, self.top + height

    def draw(self, width: int, height: int) -> np.ndarray:
        mask = np.zeros((height, width), dtype=bool)
        x, y = max(0, self.left), max(0, self.top)
        part = self.pixels[y - self.top : height - self.top, x - self.left : width - self.left]
        mask[y : y + part.shape[0], x : x + part.shape[1]] = part
        return mask


@dataclass(frozen=True)
class Runs:
    """COCO's run lengths over a whole picture: down the columns, beginning with background."""

    lengths: Sequence[int]
    width: int
    height: int

    @property
    def extent(self) -> Extent:
        return 0, 0, self.width, self.height

    def draw(self, width: int, height: int) -> np.ndarray:
        if (self.width, self.height) != (width, height):
            made = f"{self.width} x {self.height}"
            raise ValueError(f"its run lengths are made for {made} pixels, not for {width} x {height}")
        return unrolled(self.lengths, width, height).reshape(width, height).T


def unrolled(lengths: Sequence[int], width: int, height: int) -> np.ndarray:
    """(width * height,) bool of run lengths that begin with background.

    Not pycocotools' decode: it warns on numpy 2 and reads beyond the picture where the lengths do not add up.

    Raises:
        ValueError: one is negative, or they do not add up.
    """
    if any(run < 0 for run in lengths) or sum(lengths) != width * height:
        raise ValueError(f"its run lengths do not add up to {width} x {height}")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def polygon_of(numbers: Sequence[float]) -> Polygon:
    """From x0, y0, x1, y1 ...

    Raises:
        ValueError: no pairs, or no polygon.
    """
    if len(numbers) % 2:
        raise ValueError(f"its polygon has {len(numbers)} numbers, which are no pairs")
    return Polygon(list(zip(numbers[::2], numbers[1::2], strict=True)))


def turned_box(
    x0: float, y0: float, x1: float, y1: float, degrees: float, pivot: tuple[float, float]
) -> Polygon:
    """A box turned clockwise about ``pivot``."""
    turn = np.deg2rad(degrees)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) - pivot
    matrix = np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
    return Polygon([(x, y) for x, y in (corners @ matrix + pivot).tolist()])


def ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> Polygon:
    """An ellipse about (x, y), turned clockwise, as a polygon."""
    angle, turn = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False), np.deg2rad(degrees)
    along, across = rx * np.cos(angle), ry * np.sin(angle)
    xs = x + along * np.cos(turn) - across * np.sin(turn)
    ys = y + along * np.sin(turn) + across * np.cos(turn)
    return Polygon(list(zip(xs.tolist(), ys.tolist(), strict=True)))


def fits(extent: Extent, width: int, height: int) -> bool:
    """Whether it stays in the picture, up to ``OVERSHOOT`` of the side (2 pixels at least)."""
    slack_x, slack_y = max(2.0, OVERSHOOT * width), max(2.0, OVERSHOOT * height)
    x0, y0, x1, y1 = extent
    return x0 >= -slack_x and y0 >= -slack_y and x1 <= width + slack_x and y1 <= height + slack_y


def draw(shapes: Sequence[tuple[str, Shape]], width: int, height: int) -> np.ndarray:
    """(height, width) bool, the union of ``shapes``, each with a name for messages ("" for none).

    Raises:
        ValueError: a shape reaches out of the picture, see ``fits``, or is made for another one.
    """
    mask = np.zeros((height, width), dtype=bool)
    for name, shape in shapes:
        if not isinstance(shape, Runs) and not fits(shape.extent, width, height):
            x0, y0, x1, y1 = shape.extent
            raise ValueError(
                f"{name or 'a box'} reaches out of the picture of {width} x {height} pixels "
                f"(x {x0:g} to {x1:g}, y {y0:g} to {y1:g})"
            )
        try:
            mask |= shape.draw(width, height)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return mask


def parse_boxes(payload: str) -> list[Box]:
    """``x0,y0,x1,y1;x0,y0,x1,y1`` -> boxes.

    Raises:
        ValueError: not four numbers, or a box without area.
    """
    boxes = []
    for text in payload.split(";"):
        try:
            x0, y0, x1, y1 = (float(number) for number in text.split(","))
        except ValueError:
            raise ValueError(f"'{text}' is not four numbers x0,y0,x1,y1") from None
        boxes.append(Box((x0, y0, x1, y1)))
    return boxes


def close(mask: np.ndarray, share: float = CLOSING_RADIUS) -> np.ndarray:
    """Morphological closing of an (H, W) bool mask; disc: ``share`` of the short side, at least 1 pixel.

    Through two distance transforms, so that the time does not grow with the radius.
    """
    if not mask.any():
        return mask
    radius = max(1.0, share * min(mask.shape))
    margin = math.ceil(radius) + 1  # else the erosion would take the picture's edge for background
    dilated = ndimage.distance_transform_edt(~np.pad(mask, margin)) <= radius
    closed = ndimage.distance_transform_edt(dilated) > radius
    return closed[margin:-margin, margin:-margin]


def unpack_runs(text: str | bytes) -> list[int]:
    """COCO's compressed run lengths -> numbers.

    Each number is written in 5-bit groups, lowest first, as characters from "0" on; bit 6 says that more
    follow and the last group is sign-extended. From the fourth number on the difference to the last but one
    is stored.
    """
    runs: list[int] = []
    number = shift = 0
    for character in text.encode() if isinstance(text, str) else text:
        group = character - 48
        number |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    return runs
