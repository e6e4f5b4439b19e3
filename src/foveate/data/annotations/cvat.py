"""CVAT for images 1.1: one XML file for a task or a project."""

from pathlib import Path
from xml.etree.ElementTree import Element

from foveate.data.annotations.documents import Document, DocumentReader, number, read_xml
from foveate.data.decode import MAX_PIXELS
from foveate.data.shapes import Bitmap, Box, Polygon, Shape, ellipse, turned_box, unrolled

DRAWN = frozenset({"polygon", "box", "ellipse", "mask"})
"""Elements that mark an area; points, polylines, tags and skeletons do not."""


class CvatReader(DocumentReader):
    """Polygons, boxes, ellipses and masks are object. Pictures are known by their name."""

    title = "CVAT for images"
    suffix = ".xml"
    start = b"<"
    marks = (b"<annotations>", b"<annotations ")

    def parse(self, path: Path) -> Document:
        top = read_xml(path, "annotations")
        if top.find("track") is not None:
            raise ValueError("it is of CVAT for video; export it as CVAT for images 1.1")
        entries = {}
        for image in top.findall("image"):
            name = image.get("name", "")
            if not name:
                raise ValueError(f"image {image.get('id')} has no name")
            if name in entries:
                raise ValueError(f"two images are called {name}; export each task by itself")
            drawn = [element for element in image if element.tag in DRAWN]
            size = (number(image.get("width", "0"), "width"), number(image.get("height", "0"), "height"))
            named = [(f"{e.tag} {k} ({e.get('label', 'no label')})", e) for k, e in enumerate(drawn, start=1)]
            entries[name] = self.entry(name, size, named)
        return Document(entries)

    def shapes_of(self, part: Element) -> list[Shape]:
        def read(*names: str) -> list[float]:
            return [number(part.get(name), name) for name in names]

        turn = number(part.get("rotation", "0"), "rotation")
        if part.tag == "polygon":
            pairs = [pair.split(",") for pair in part.get("points", "").split(";")]
            if any(len(pair) != 2 for pair in pairs):
                raise ValueError("its points are not written x,y;x,y")
            return [Polygon([(number(x, "x"), number(y, "y")) for x, y in pairs])]
        if part.tag == "ellipse":
            x, y, rx, ry = read("cx", "cy", "rx", "ry")
            return [ellipse(x, y, rx, ry, turn)]
        if part.tag == "mask":
            left, top, width, height = map(round, read("left", "top", "width", "height"))
            if min(width, height) < 1 or width * height > MAX_PIXELS:
                raise ValueError(f"it is {width} x {height} pixels large")
            # Run lengths go along the rows of the box and begin with background.
            runs = [round(number(run, "rle")) for run in part.get("rle", "").split(",")]
            return [Bitmap(unrolled(runs, width, height).reshape(height, width), left, top)]
        x0, y0, x1, y1 = read("xtl", "ytl", "xbr", "ybr")
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        return [turned_box(x0, y0, x1, y1, turn, centre) if turn else Box((x0, y0, x1, y1))]
