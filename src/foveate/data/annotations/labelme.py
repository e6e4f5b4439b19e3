"""labelme (also AnyLabeling and other tools that write its format): one JSON file a picture."""

import base64
import binascii
from functools import partial
from pathlib import Path

import numpy as np

from foveate.data.annotations.documents import (
    Checked,
    Document,
    DocumentReader,
    Entry,
    Named,
    named_shapes,
    read_json,
)
from foveate.data.decode import DecodeError, load_image
from foveate.data.shapes import Bitmap, Box, Polygon, Shape, ellipse

NO_AREA = frozenset({"point", "points", "line", "linestrip"})


class _Shape(Checked):
    label: str | None = None
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    mask: str | None = None


class _File(Checked):
    shapes: list[_Shape]
    imagePath: str | None = None
    imageWidth: int | None = None
    imageHeight: int | None = None


class LabelmeReader(DocumentReader):
    """Polygons, rectangles, circles and masks are object; points and lines have no area and are none."""

    title = "labelme JSON"
    single = True
    marks = (b'"shapes"', b'"imagePath"', b'"imageData"')

    def parse(self, path: Path) -> Document:
        file: _File = read_json(path, _File)
        size = (file.imageWidth, file.imageHeight) if file.imageWidth and file.imageHeight else None
        name = file.imagePath or path.stem
        return Document({"": Entry(name, size, partial(_shapes, file.shapes), bool(file.shapes))})


def _shapes(shapes: list[_Shape]) -> list[Named]:
    names = (f"shape {k} ({shape.label or 'no label'})" for k, shape in enumerate(shapes, start=1))
    areas = [pair for pair in zip(names, shapes, strict=True) if pair[1].shape_type not in NO_AREA]
    if not areas and shapes:
        raise ValueError("no shape has an area; there are only points and lines")
    return named_shapes(areas, _shape_of)


def _shape_of(shape: _Shape) -> Shape:
    points, kind = shape.points, shape.shape_type or "polygon"
    if kind == "polygon":
        return Polygon(points)
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"its type '{kind[:30]}' is not known here (polygon, rectangle, circle, mask)")
    if kind == "rectangle" and len(points) == 4:
        return Polygon(points)
    if len(points) != 2:
        raise ValueError(f"its type {kind} needs two points, not {len(points)}")
    (x0, y0), (x1, y1) = points
    if kind == "circle":
        radius = float(np.hypot(x1 - x0, y1 - y0))
        return ellipse(x0, y0, radius, radius)
    if kind == "mask":
        return Bitmap(_bitmap(shape.mask), round(min(x0, x1)), round(min(y0, y1)))
    return Box((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))


def _bitmap(text: str | None) -> np.ndarray:
    """(h, w) bool of a PNG in base64."""
    try:
        with load_image("mask", content=base64.b64decode(text or "", validate=True)) as image:
            return np.asarray(image.convert("L")) > 0
    except (binascii.Error, DecodeError) as error:
        raise ValueError(f"its mask is no PNG in base64 ({getattr(error, 'reason', error)})") from None
