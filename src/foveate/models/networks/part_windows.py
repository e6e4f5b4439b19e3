"""APPM: the strongest windows of a map that do not overlap much; those of a whole batch at once, on its device."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from foveate.models.networks.object_boxes import Box, cell_boxes

Shape = tuple[int, int]
GRID = 14
"""Cells a side of the map for which the authors' windows are: a picture of 448 px, stride 32."""
WINDOWS: dict[str, tuple[tuple[int, tuple[Shape, ...]], ...]] = {
    "birds": (
        (2, ((4, 4), (3, 5), (5, 3))),
        (3, ((6, 6), (5, 7), (7, 5))),
        (2, ((8, 8), (6, 10), (10, 6), (7, 9), (9, 7), (7, 10), (10, 7))),
    ),
    "vehicles": (
        (3, ((6, 6), (5, 7), (7, 5))),
        (2, ((8, 8), (6, 10), (10, 6), (7, 9), (9, 7))),
        (1, ((10, 10), (9, 11), (11, 9), (8, 12), (12, 8))),
    ),
}
"""{set: groups of (windows that are kept, shapes in cells of a map of GRID x GRID)}."""
OVERLAP = 0.25
"""Largest IoU of a window with one that is kept."""


@torch.no_grad()
def part_windows(strength: torch.Tensor, windows: str, side: Shape) -> Box:
    """Strength (B, h, w) of a map -> (B, N, 4) in pictures of ``side`` (H, W), group after group, the strongest first.

    Zhang et al., MMM 2021: greedy suppression within each group. Where fewer are left than a group wants, its last is
    repeated. Shapes are scaled to the map, and none is larger than it or smaller than a cell.
    """
    grid = (strength.shape[1], strength.shape[2])
    return torch.cat(
        [_group(strength, keep, _scaled(shapes, grid), side) for keep, shapes in WINDOWS[windows]], dim=1
    )


def _scaled(shapes: Sequence[Shape], grid: Shape) -> list[Shape]:
    return list(
        dict.fromkeys(
            (
                min(max(1, round(rows * grid[0] / GRID)), grid[0]),
                min(max(1, round(columns * grid[1] / GRID)), grid[1]),
            )
            for rows, columns in shapes
        )
    )


def _group(strength: torch.Tensor, keep: int, shapes: list[Shape], side: Shape) -> Box:
    """(B, keep, 4)."""
    grid, device = (strength.shape[1], strength.shape[2]), strength.device
    scores = torch.cat(
        [F.avg_pool2d(strength[:, None], shape, stride=1).flatten(1) for shape in shapes], dim=1
    )
    cells = []
    for rows, columns in shapes:
        row, column = torch.meshgrid(
            torch.arange(grid[0] - rows + 1, device=device),
            torch.arange(grid[1] - columns + 1, device=device),
            indexing="ij",
        )
        cells.append(torch.stack([row, column, row + rows, column + columns], dim=2).flatten(0, 1))
    boxes = cell_boxes(torch.cat(cells), grid, side)  # (n, 4)
    alone = _overlaps(boxes) <= OVERLAP
    left = torch.ones_like(scores, dtype=torch.bool)
    chosen: list[torch.Tensor] = []
    for _ in range(keep):
        best = scores.masked_fill(~left, -torch.inf).argmax(dim=1)
        if chosen:
            best = torch.where(left.any(dim=1), best, chosen[-1])
        chosen.append(best)
        left &= alone[best]
    return boxes[torch.stack(chosen, dim=1)]


def _overlaps(boxes: Box) -> torch.Tensor:
    """(n, 4) -> (n, n): IoU, the last pixel counted."""
    start = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    end = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = (end - start + 1).clamp(min=0).prod(dim=2)
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(dim=1)
    return both / (areas[:, None] + areas[None] - both)
