"""A map as a region: thresholds, intersection over union, and boxes."""

import numpy as np
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu


def ious(regions: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """(B,): intersection over union of two (B, H, W) bool; NaN where both are empty."""
    shared = (regions & inside).sum(dim=(1, 2))
    return shared / (regions | inside).sum(dim=(1, 2))


def swept_ious(maps: torch.Tensor, inside: torch.Tensor, thresholds: int) -> torch.Tensor:
    """(B, T): IoU of {map >= k / T} with the mask, k = 0 ... T - 1; maps (B, H, W) in [0, 1]."""
    bins = _at_or_above(maps, thresholds)
    zeros = torch.zeros(len(maps), thresholds, dtype=torch.float64, device=maps.device)
    area = zeros.scatter_add(1, bins, torch.ones_like(bins, dtype=torch.float64))
    shared = zeros.scatter_add(1, bins, inside.flatten(1).double())
    # From the highest bin down: what is at or above each threshold.
    area, shared = (counts.flip(1).cumsum(dim=1).flip(1) for counts in (area, shared))
    return shared / (area + inside.sum(dim=(1, 2))[:, None] - shared)


def _at_or_above(maps: torch.Tensor, thresholds: int) -> torch.Tensor:
    """(B, HW) int64: the highest k with map >= k / T, below T."""
    edges = torch.arange(thresholds, device=maps.device, dtype=torch.float64) / thresholds
    return torch.searchsorted(edges, maps.flatten(1).double().contiguous(), right=True) - 1


def chance_iou(share: torch.Tensor, threshold: float) -> torch.Tensor:
    """IoU of a mask that covers ``share`` (B,) with pixels drawn independently, 1 - ``threshold`` of all."""
    drawn = 1 - threshold
    return drawn * share / (drawn + share - drawn * share)


def otsu(maps: torch.Tensor) -> torch.Tensor:
    """(B,): the threshold that parts each map (B, H, W) into two classes of largest variance between (Otsu, 1979).

    256 bins between the map's smallest and largest value; the centre of the last bin of the lower class.
    """
    found = [threshold_otsu(values) for values in maps.double().cpu().numpy()]
    return torch.tensor(found, dtype=torch.float64, device=maps.device)


def box_ious(maps: torch.Tensor, inside: torch.Tensor, thresholds: int) -> torch.Tensor:
    """(B, T): IoU of two boxes: of the largest connected part of {map >= k / T}, and of the mask; 0 for no mask.

    Pixels are connected over edges and corners.
    """
    bins = _at_or_above(maps, thresholds).reshape(maps.shape).cpu().numpy()
    known = [_box(mask) for mask in inside.cpu().numpy()]
    found = np.zeros((len(maps), thresholds), dtype=np.float32)
    for i, box in enumerate(known):
        if box is None:
            continue
        for k in range(thresholds):
            region = bins[i] >= k
            # A part that fills the whole picture stays the largest at all lower thresholds; that costs nothing.
            part = (0, bins.shape[1], 0, bins.shape[2]) if region.all() else _largest(region)
            found[i, k] = _box_iou(part, box) if part is not None else 0.0
    return torch.from_numpy(found).to(maps.device)


def chance_boxes(inside: torch.Tensor) -> torch.Tensor:
    """(B,): IoU of the whole picture's box with the mask's; 0 for an empty mask."""
    height, width = inside.shape[1:]
    boxes = [_box(mask) for mask in inside.cpu().numpy()]
    found = [_box_iou((0, height, 0, width), box) if box else 0.0 for box in boxes]
    return torch.tensor(found, device=inside.device)


Box = tuple[int, int, int, int]
"""top, bottom, left, right; bottom and right are the first row and column outside."""


def _box(region: np.ndarray) -> Box | None:
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _largest(region: np.ndarray) -> Box | None:
    box = _box(region)
    if box is None:
        return None
    top, bottom, left, right = box
    labels, count = ndimage.label(region[top:bottom, left:right], structure=np.ones((3, 3)))
    if count == 1:
        return box
    sizes = np.bincount(labels.ravel())
    rows, columns = ndimage.find_objects(labels)[int(sizes[1:].argmax())]
    return top + rows.start, top + rows.stop, left + columns.start, left + columns.stop


def _box_iou(one: Box, other: Box) -> float:
    height = min(one[1], other[1]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[2], other[2])
    shared = max(height, 0) * max(width, 0)
    area = sum((box[1] - box[0]) * (box[3] - box[2]) for box in (one, other))
    return shared / (area - shared)
