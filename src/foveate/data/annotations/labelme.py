"""labelme (also AnyLabeling and other tools that write its format): one JSON file a picture."""

import base64
import binascii
from pathlib import Path

import numpy as np

from foveate.data.annotations.documents import Checked, Document, DocumentReader, read_json
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
        named = [
            (f"shape {k} ({shape.label or 'no label'})", shape)
            for k, shape in enumerate(file.shapes, start=1)
            if shape.shape_type not in NO_AREA
        ]
        if file.shapes and not named:
            raise ValueError("no shape has an area; there are only points and lines")
        size = (file.imageWidth, file.imageHeight)
        return Document({"": self.entry(file.imagePath or path.stem, size, named)})

    def shapes_of(self, part: _Shape) -> list[Shape]:
        points, kind = part.points, part.shape_type or "polygon"
        if kind == "polygon" or (kind == "rectangle" and len(points) == 4):
            return [Polygon(points)]
        if kind not in ("rectangle", "circle", "mask"):
            raise ValueError(f"its type '{kind[:30]}' is not known here (polygon, rectangle, circle, mask)")
        if len(points) != 2:
            raise ValueError(f"its type {kind} needs two points, not {len(points)}")
        (x0, y0), (x1, y1) = points
        if kind == "circle":
            radius = float(np.hypot(x1 - x0, y1 - y0))
            return [ellipse(x0, y0, radius, radius)]
        left, top = min(x0, x1), min(y0, y1)
        if kind == "mask":
            try:
                content = base64.b64decode(part.mask or "", validate=True)
                with load_image("mask", content=content) as image:
                    return [Bitmap(np.asarray(image.convert("L")) > 0, round(left), round(top))]
            except (binascii.Error, DecodeError) as error:
                reason = getattr(error, "reason", error)
                raise ValueError(f"its mask is no PNG in base64 ({reason})") from None
        return [Box((left, top, max(x0, x1), max(y0, y1)))]
