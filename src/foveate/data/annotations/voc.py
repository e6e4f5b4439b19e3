"""PASCAL VOC: one XML file a picture, as labelImg and many others write it."""

from pathlib import Path
from xml.etree.ElementTree import Element

from foveate.data.annotations.documents import Document, DocumentReader, number, read_xml
from foveate.data.shapes import Box, Shape, polygon_of


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
        named = [
            (f"object {k} ({(found.findtext('name') or 'no name').strip()})", found)
            for k, found in enumerate(top.findall("object"), start=1)
        ]
        return Document({"": self.entry(top.findtext("filename") or path.stem, (width, height), named)})

    def shapes_of(self, part: Element) -> list[Shape]:
        polygon, box = part.find("polygon"), part.find("bndbox")
        if polygon is not None and len(polygon):
            return [polygon_of([number(at.text, at.tag) for at in polygon if at.tag[:1] in ("x", "y")])]
        if box is None:
            raise ValueError("it has neither a bndbox nor a polygon")
        x0, y0, x1, y1 = (number(box.findtext(side), side) for side in ("xmin", "ymin", "xmax", "ymax"))
        return [Box((x0 - 1, y0 - 1, x1, y1))]
