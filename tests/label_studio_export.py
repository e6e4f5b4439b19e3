"""Masks of a data set as Label Studio would export them: ``python tests/label_studio_export.py DATA OUT FORM [SHARE]``.

Pictures go by the names of an upload: no folder, eight hex digits before, only letters that Django keeps.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from foveate.data.annotations import sample_mask
from foveate.data.catalog import Catalog
from foveate.data.discover import discover
from layout_copies import packed_brush

FORMS = (
    "json",
    "json-min",
    "brush-png",
    "coco",
    "coco-rle",
    "polygon",
    "polygon-min",
    "rectangle",
    "ellipse",
    "ellipse-min",
)


def uploaded(path: str, number: int) -> str:
    """A picture's name in the export."""
    kept = [
        letter if letter.isalnum() or letter in "-_." else ""
        for letter in path.split("/")[-1].replace(" ", "_")
    ]
    return f"{number * 2654435761 % 16**8:08x}-{''.join(kept)}"


def export(catalog: Catalog, rows: list[int], out: Path, form: str) -> Path:
    """Write the masks of ``rows``; the file or folder to give as ``--masks``."""
    out.mkdir(parents=True)
    masks = [
        (number, row, np.asarray(sample_mask(catalog, row)) > 127) for number, row in enumerate(rows, start=1)
    ]
    names = {number: uploaded(catalog.samples[row].path, number) for number, row, _ in masks}
    if form.startswith("coco"):
        _coco(masks, names, form, out / "result.json")
        return out
    kind = (
        form.removesuffix("-min")
        if form.removesuffix("-min") in ("polygon", "rectangle", "ellipse")
        else "brush"
    )
    tasks = []
    for number, _, mask in masks:
        value = {"format": "rle", "rle": packed_brush(mask)} if kind == "brush" else _shape(mask, kind)
        value[f"{kind}labels"] = ["object"]
        sides = {"original_width": mask.shape[1], "original_height": mask.shape[0], "image_rotation": 0}
        data = {"image": f"/data/upload/1/{names[number]}"}
        if form.endswith("-min"):
            tail = {"annotator": 1, "annotation_id": 10 + number, "created_at": "2024-05-02T10:00:00.123456Z"}
            tasks.append({**data, "id": number, "tag": [value | sides], "quality": "good", **tail})
            continue
        choice = {"id": "c", "type": "choices", "value": {"choices": ["good"]}}
        result = [choice, {"id": "r", "type": f"{kind}labels", "value": value, **sides}]
        tasks.append({"id": number, "annotations": [{"id": 10 + number, "result": result}], "data": data})
        if form == "brush-png":
            name = f"task-{number}-annotation-{10 + number}-by-1-tag-object-0.png"
            Image.fromarray(mask.astype(np.uint8) * 255).save(out / name)
    file = out / "project-1-at-2024-05-02-10-00-1a2b3c4d.json"
    file.write_text(json.dumps(tasks))
    return out if form == "brush-png" else file


def _shape(mask: np.ndarray, kind: str) -> dict[str, Any]:
    """The mask's box, or what fills it, in per cent of the sides."""
    (left, right), (top, bottom) = _box(mask)
    height, width = mask.shape
    x0, x1, y0, y1 = left / width * 100, right / width * 100, top / height * 100, bottom / height * 100
    if kind == "polygon":
        return {"points": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]], "closed": True}
    if kind == "rectangle":
        return {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0}
    radii = {"radiusX": (x1 - x0) / 2, "radiusY": (y1 - y0) / 2}
    return {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2, **radii, "rotation": 0}


def _box(mask: np.ndarray) -> Iterator[tuple[int, int]]:
    for axis in (0, 1):
        marked = np.flatnonzero(mask.any(axis=axis))
        yield int(marked[0]), int(marked[-1]) + 1


def _coco(masks: list[tuple[int, int, np.ndarray]], names: dict[int, str], form: str, file: Path) -> None:
    images, annotations = [], []
    for number, _, mask in masks:
        height, width = mask.shape
        (left, right), (top, bottom) = _box(mask)
        images.append(
            {"id": number, "file_name": f"images/{names[number]}", "width": width, "height": height}
        )
        segmentation: Any = [[left, top, right, top, right, bottom, left, bottom]]
        if form == "coco-rle":
            flat = np.concatenate([[False], mask.T.ravel(), [True]])
            ends = np.flatnonzero(flat[1:] != flat[:-1])
            ends[-1] = mask.size
            segmentation = {"size": [height, width], "counts": np.diff(ends, prepend=0).tolist()}
        box = [left, top, right - left, bottom - top]
        annotations.append(
            {"id": number, "image_id": number, "category_id": 0, "segmentation": segmentation, "bbox": box}
        )
    categories = [{"id": 0, "name": "object"}]
    file.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))


if __name__ == "__main__":
    data, place, wanted, *share = sys.argv[1:]
    known = discover(Path(data)).catalog
    masked = [row for row, sample in enumerate(known.samples) if sample.mask]
    step = round(1 / float(share[0])) if share else 2
    sys.stdout.write(f"{export(known, masked[::step], Path(place), wanted)}\n")
