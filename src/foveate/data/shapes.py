"""Drawn annotations -> (H, W) bool arrays: boxes, COCO polygons, COCO run lengths; and closing of gaps.

Everything here raises ValueError with a reason; ``annotations`` knows the file it came from and says so.
"""

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from scipy import ndimage

CLOSING_RADIUS = 0.01
"""Radius of the closing of united parts, as a share of the short side: fills gaps between strokes."""
BOX_OVERSHOOT = 0.05
"""How far a box may reach over the edge, as a share of the side, before it is taken for a mistake."""

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels; corners are pixel edges, so 0,0,10,10 covers ten columns and ten rows."""


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
        if not (x0 < x1 and y0 < y1 and all(map(math.isfinite, (x0, y0, x1, y1)))):
            raise ValueError(f"box {text} has no area (x0 < x1 and y0 < y1 are needed)")
        boxes.append((x0, y0, x1, y1))
    return boxes


def draw_boxes(boxes: list[Box], width: int, height: int) -> np.ndarray:
    """(height, width) bool, True inside any box; a pixel belongs to a box that covers its centre.

    Raises:
        ValueError: a box reaches out of the picture by more than ``BOX_OVERSHOOT`` (and 2 pixels).
    """
    mask = np.zeros((height, width), dtype=bool)
    slack_x, slack_y = max(2.0, BOX_OVERSHOOT * width), max(2.0, BOX_OVERSHOOT * height)
    for x0, y0, x1, y1 in boxes:
        if x0 < -slack_x or y0 < -slack_y or x1 > width + slack_x or y1 > height + slack_y:
            box = f"{x0:g},{y0:g},{x1:g},{y1:g}"
            raise ValueError(f"box {box} reaches out of the picture of {width} x {height} pixels")
        left, top, right, bottom = (max(0, math.ceil(edge - 0.5)) for edge in (x0, y0, x1, y1))
        mask[top:bottom, left:right] = True
    return mask


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


@dataclass(frozen=True)
class CocoImage:
    """One entry of ``images`` of a COCO file, with its annotations."""

    file_name: str
    size: tuple[int, int] | None
    """(width, height); None when the file does not say."""
    annotations: tuple[dict[str, Any], ...]


def coco_index(path: Path) -> dict[str, CocoImage]:
    """{image id as text: CocoImage} of a COCO file, read once as long as the file does not change.

    Raises:
        OSError: missing or unreadable.
        ValueError: not JSON, or without ``images`` and ``annotations``.
    """
    return _coco_index(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _coco_index(path: Path, _modified: int) -> dict[str, CocoImage]:
    try:
        content = json.loads(path.read_bytes())
        by_image: dict[str, list[dict[str, Any]]] = {str(entry["id"]): [] for entry in content["images"]}
        for annotation in content["annotations"]:
            by_image[str(annotation["image_id"])].append(annotation)
        index = {}
        for entry in content["images"]:
            width, height = int(entry.get("width") or 0), int(entry.get("height") or 0)
            size = (width, height) if width and height else None
            image_id = str(entry["id"])
            index[image_id] = CocoImage(str(entry["file_name"]), size, tuple(by_image[image_id]))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is not a COCO file ({type(error).__name__}: {error})") from error
    return index


def draw_coco(entry: CocoImage, width: int, height: int) -> np.ndarray:
    """(height, width) bool: the union of an image's polygons and run lengths; failing both, boxes.

    Raises:
        ValueError: an annotation is malformed or made for another size.
    """
    mask = np.zeros((height, width), dtype=bool)
    for annotation in entry.annotations:
        try:
            mask |= _draw_annotation(annotation, width, height)
        except Exception as error:  # pycocotools raises bare Exceptions
            raise ValueError(f"annotation {annotation.get('id')} is malformed ({error})") from error
    return mask


def _draw_annotation(annotation: dict[str, Any], width: int, height: int) -> np.ndarray:
    shape = annotation.get("segmentation")
    if not shape:
        x, y, w, h = annotation["bbox"]
        return draw_boxes([(x, y, x + w, y + h)], width, height)
    if isinstance(shape, list):
        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in shape):
            raise ValueError("a polygon needs at least three points")
        shape = coco_mask.merge(coco_mask.frPyObjects(shape, height, width))
    if list(shape["size"]) != [height, width]:
        drawn = " x ".join(map(str, reversed(shape["size"])))
        raise ValueError(f"its run lengths are made for {drawn}, not for {width} x {height}")
    runs = shape["counts"] if isinstance(shape["counts"], list) else unpack_runs(shape["counts"])
    if sum(runs) != width * height:
        raise ValueError(f"its run lengths do not add up to {width} x {height}")
    # Runs go down the columns and begin with background. Not pycocotools' decode: it warns on numpy 2 and
    # reads beyond the picture where the lengths do not add up.
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


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
