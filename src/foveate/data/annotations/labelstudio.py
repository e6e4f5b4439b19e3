"""Label Studio's own exports (JSON and JSON-MIN): areas of a whole project in one file."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pydantic

from foveate.data.annotations.documents import Checked, Document, DocumentReader, read_json
from foveate.data.decode import IMAGE_SUFFIXES, MAX_PIXELS
from foveate.data.shapes import Bitmap, Box, Polygon, Shape, ellipse, turned_box

AREAS = {"brush": "rle", "polygon": "points", "ellipse": "radiusX", "rectangle": "height"}
"""{results that mark an area, also with "labels" behind them: what only their value has}; choices, key points and texts
mark none."""

MINIMAL = (b'"annotation_id"', b'"original_width"', b'labels"', b'"rle"', b'"points"')
"""Words of which one stands near the beginning of JSON-MIN, behind a task's id."""


STAMPS = frozenset({"created_at", "updated_at"})
"""Words of JSON-MIN that nobody chose."""


class _Result(Checked):
    id: str | int | None = None
    type: str = ""
    from_name: str = ""
    value: dict[str, Any] = pydantic.Field(default_factory=dict)
    original_width: int | None = None
    original_height: int | None = None
    image_rotation: float = 0


class _Annotation(Checked):
    result: list[_Result]
    was_cancelled: bool = False


class Task(Checked):
    """A picture, and what was drawn on it or chosen for it."""

    id: int | str
    data: dict[str, Any]
    annotations: list[_Annotation]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_minimal(cls, task: Any) -> Any:
        """JSON-MIN has one annotation a task, without types, its results and the task's data side by side."""
        if (
            not isinstance(task, dict)
            or "annotations" in task
            or not {"annotation_id", "annotator"} & task.keys()
        ):
            return task
        found = [part for values in task.values() if isinstance(values, list) for part in values]
        results = [
            {**part, "id": task.get("annotation_id"), "type": kind, "value": part}
            for part in found
            for kind, mark in AREAS.items()
            if isinstance(part, dict) and mark in part
        ]
        for name, chosen in task.items():
            if isinstance(chosen, str) and name not in STAMPS and not picture_named(chosen):
                chosen = {"choices": [chosen]}
            if isinstance(chosen, dict) and "choices" in chosen:
                results.append({"from_name": name, "type": "choices", "value": chosen})
        return {"id": task.get("id"), "data": task, "annotations": [{"result": results}]}


class LabelStudioReader(DocumentReader):
    """Every area of every annotation that was not cancelled is object; sizes and places are of the upright picture."""

    title = "Label Studio JSON"
    start = b"["
    marks = (b'"annotations"', b'"data"')

    def knows(self, path: Path, head: bytes) -> bool:
        minimal = b'"id"' in head and any(mark in head for mark in MINIMAL)
        return super().knows(path, head + self.marks[0] if minimal else head)

    def parse(self, path: Path) -> Document:
        tasks: list[Task] = read_json(path, list[Task])
        names: dict[str, str] = {}
        drawn: dict[str, list[_Result]] = {}
        for task in tasks:
            name, key = (
                next((text for text in map(picture_named, task.data.values()) if text), None),
                str(task.id),
            )
            if name is None:
                raise ValueError(f"task {task.id} names no picture")
            if names.setdefault(key, name) != name:
                raise ValueError(f"two tasks have the id {task.id}")
            kept = [result for a in task.annotations if not a.was_cancelled for result in a.result]
            drawn.setdefault(key, []).extend(r for r in kept if r.type.removesuffix("labels") in AREAS)
        entries = {}
        for key, results in drawn.items():
            sizes = {(r.original_width, r.original_height) for r in results}
            if len(sizes) > 1:
                raise ValueError(f"task {key} gives several sizes of one picture")
            size = sizes.pop() if sizes else (None, None)
            named = [(f"result {result.id} ({result.type})", result) for result in results]
            entries[key] = self.entry(names[key], size, named)
        return Document(entries)

    def shapes_of(self, part: _Result) -> list[Shape]:
        """Places and lengths are per cent of the picture's sides."""
        value, width, height = part.value, part.original_width, part.original_height
        if not width or not height:
            raise ValueError("it does not say how large the picture is")
        if part.image_rotation:
            raise ValueError(f"the picture was turned by {part.image_rotation:g} degrees; turn it back")
        kind = part.type.removesuffix("labels")
        if kind == "brush":
            return [Bitmap(unpack_brush(value["rle"], width, height))]
        x_unit, y_unit = width / 100, height / 100
        if kind == "polygon":
            return [Polygon([(float(x) * x_unit, float(y) * y_unit) for x, y in value["points"]])]
        x, y, turn = float(value["x"]) * x_unit, float(value["y"]) * y_unit, float(value.get("rotation", 0))
        if kind == "ellipse":
            return [ellipse(x, y, float(value["radiusX"]) * x_unit, float(value["radiusY"]) * y_unit, turn)]
        x1, y1 = x + float(value["width"]) * x_unit, y + float(value["height"]) * y_unit
        return [turned_box(x, y, x1, y1, turn, (x, y)) if turn else Box((x, y, x1, y1))]


def picture_named(value: object) -> str:
    """The picture's path in a value of ``data``, "" when it names none.

    Written as /data/upload/1/1a2b3c4d-leaf.jpg, /data/local-files/?d=leaves/leaf.jpg, s3://... or https://...
    """
    if not isinstance(value, str):
        return ""
    try:
        address = urlsplit(value)
    except ValueError:
        return ""
    path = parse_qs(address.query).get("d", [unquote(address.path)])[0]
    return path.lstrip("/") if Path(path).suffix.lower() in IMAGE_SUFFIXES else ""


def unpack_brush(packed: list[int], width: int, height: int) -> np.ndarray:
    """(height, width) bool of Label Studio's run lengths of an RGBA picture, whose alpha is the mask.

    Bits: 32 number of values, 5 their width - 1, four times 4 a length's width - 1. Then runs: 1 whether one value is
    repeated, 2 which of the four widths, the length - 1, and one value or as many as the length
    (https://github.com/thi-ng/umbrella, package rle-pack).

    Raises:
        ValueError: not bytes, not of this size, or cut off.
    """
    if not isinstance(packed, list) or not all(type(byte) is int and 0 <= byte <= 255 for byte in packed):
        raise ValueError("its rle is no list of bytes")
    bits = np.unpackbits(np.array(packed, dtype=np.uint8))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise ValueError("its rle is cut off")
        place += count
        return int.from_bytes(np.packbits(np.pad(bits[place - count : place], (-count % 8, 0))).tobytes())

    total = take(32)
    if total != 4 * width * height or width * height > MAX_PIXELS:
        raise ValueError(f"its rle holds {total // 4} pixels, not {width} x {height}")
    word = take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    values = np.zeros(total, dtype=np.uint8)
    done = 0
    while done < total:
        repeated = take(1)
        length = take(lengths[take(2)]) + 1
        if done + length > total:
            raise ValueError("its rle holds more than the picture")
        if repeated:
            values[done : done + length] = min(take(word), 255)
        else:
            values[done : done + length] = [min(take(word), 255) for _ in range(length)]
        done += length
    return values.reshape(height, width, 4)[..., 3] > 127
