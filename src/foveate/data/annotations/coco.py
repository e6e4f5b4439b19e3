"""COCO: polygons and run lengths (compressed or not); failing both, the annotation's box.

The size is the image's ``width`` and ``height``, which says whether the annotator saw the picture upright, unless the
shapes say otherwise (Label Studio writes the stored size beside shapes of the upright picture).
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from foveate.data.annotations.documents import Checked, Document, DocumentReader, Entry, read_json
from foveate.data.shapes import Box, Runs, Shape, polygon_of, unpack_runs


class _Image(Checked):
    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class _Annotation(Checked):
    id: int | str | None = None
    image_id: int | str
    segmentation: Any = None
    bbox: Any = None


class _File(Checked):
    images: list[_Image]
    annotations: list[_Annotation]


class CocoReader(DocumentReader):
    """A file with ``images`` and ``annotations``."""

    title = "COCO"
    marks = (b'"images"', b'"annotations"', b'"categories"', b'"info"', b'"licenses"')

    def parse(self, path: Path) -> Document:
        file: _File = read_json(path, _File)
        by_image: dict[str, list[_Annotation]] = defaultdict(list)
        for annotation in file.annotations:
            by_image[str(annotation.image_id)].append(annotation)
        entries: dict[str, Entry] = {}
        for image in file.images:
            key = str(image.id)
            if key in entries:
                raise ValueError(f"images {entries[key].file_name} and {image.file_name} share the id {key}")
            drawn = [(f"annotation {annotation.id}", annotation) for annotation in by_image.pop(key, [])]
            entries[key] = self.entry(image.file_name, (image.width, image.height), drawn)
        orphans = [f"annotation {a.id} (of image {key})" for key, found in by_image.items() for a in found]
        return Document(entries, orphans)

    def shapes_of(self, part: _Annotation) -> list[Shape]:
        found = part.segmentation
        if isinstance(found, dict):
            height, width = (_whole(side) for side in found["size"])
            counts = found["counts"]
            runs = unpack_runs(counts) if isinstance(counts, str) else [_whole(run) for run in counts]
            return [Runs(runs, width, height)]
        if isinstance(found, list) and found and not isinstance(found[0], list):
            found = [found]  # one polygon that is not wrapped in a list
        if found and not isinstance(found, list):
            raise ValueError("its segmentation is neither polygons nor run lengths")
        polygons = [polygon for polygon in found or [] if polygon != []]
        if not polygons:
            x0, y0, across, down = _numbers(part.bbox, "bbox")
            return [Box((x0, y0, x0 + across, y0 + down))]
        for k, values in enumerate(polygons):  # of x0, y0, x1, y1 ... or of pairs
            if isinstance(values, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in values):
                polygons[k] = [number for pair in values for number in pair]
        return [polygon_of(_numbers(values, "polygon")) for values in polygons]


def _numbers(values: Any, what: str) -> list[float]:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError(f"its {what} is no list of numbers")
    if what == "bbox" and len(values) != 4:
        raise ValueError(f"its bbox has {len(values)} numbers and not four")
    return [float(value) for value in values]


def _whole(value: Any) -> int:
    if type(value) is not int and not (type(value) is float and value.is_integer()):
        raise ValueError("its run lengths are no whole numbers")
    return int(value)
