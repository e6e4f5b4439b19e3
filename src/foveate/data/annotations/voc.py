"""PASCAL VOC: one XML file a picture, as labelImg and many others write it."""

from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

from foveate.data.annotations.documents import (
    Document,
    DocumentReader,
    Entry,
    Named,
    named_shapes,
    number,
    read_xml,
)
from foveate.data.shapes import Box, Polygon, Shape


class VocReader(DocumentReader):
    """The objects' boxes, or their polygons where they have any. Pixels count from 1 and both edges belong to a box."""

    title = "PASCAL VOC"
    suffix = ".xml"
    single = True
    start = b"<"
    marks = (b"<annotation>", b"<annotation ")

    def parse(self, path: Path) -> Document:
        top = read_xml(path, "annotation")
        width, height = (number(top.findtext(f"size/{side}") or "0", side) for side in ("width", "height"))
        size = (round(width), round(height)) if width and height else None
        objects = top.findall("object")
        name = top.findtext("filename") or path.stem
        return Document({"": Entry(name, size, partial(_shapes, objects), bool(objects))})


def _shapes(objects: list[Element]) -> list[Named]:
    labels = ((found.findtext("name") or "no name").strip() for found in objects)
    names = (f"object {k} ({label})" for k, label in enumerate(labels, start=1))
    return named_shapes(zip(names, objects, strict=True), _shape_of)


def _shape_of(found: Element) -> Shape:
    polygon, box = found.find("polygon"), found.find("bndbox")
    if polygon is not None and len(polygon):
        values = [number(part.text, part.tag) for part in polygon if part.tag[:1] in ("x", "y")]
        if len(values) % 2:
            raise ValueError(f"its polygon has {len(values)} numbers, which are no pairs")
        return Polygon(list(zip(values[::2], values[1::2], strict=True)))
    if box is None:
        raise ValueError("it has neither a bndbox nor a polygon")
    x0, y0, x1, y1 = (number(box.findtext(side), side) for side in ("xmin", "ymin", "xmax", "ymax"))
    return Box((x0 - 1, y0 - 1, x1, y1))
