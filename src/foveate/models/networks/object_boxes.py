"""AOLM: where the object is, by the strength of two feature maps; a box for each picture of a batch, on its device."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

Box = torch.Tensor
"""(..., 4): first row, first column, last row, last column in px, all inclusive; float."""


@torch.no_grad()
def object_boxes(last: torch.Tensor, before: torch.Tensor, side: Sequence[int]) -> Box:
    """Strengths (B, h, w) of the last map and of the one before it -> (B, 4) in pictures of ``side`` (H, W).

    Zhang et al., Multi-branch and Multi-scale Attention Learning, MMM 2021, with the authors' offsets: the largest
    8-connected part of what is above the mean in the last map, cut with what is above the mean in the other, and the
    box around all that is left. Where nothing is left it is the whole picture.
    """
    if before.shape != last.shape:
        before = F.interpolate(before[:, None], last.shape[1:], mode="bilinear", align_corners=False)[:, 0]
    inside = largest_component(_above_mean(last)) & _above_mean(before)
    inside |= ~inside.any(dim=2, keepdim=True).any(dim=1, keepdim=True)
    rows, columns = inside.any(dim=2), inside.any(dim=1)
    cells = torch.stack(
        [
            _first(rows),
            _first(columns),
            rows.shape[1] - _first(rows.flip(1)),
            columns.shape[1] - _first(columns.flip(1)),
        ],
        dim=1,
    )
    return cell_boxes(cells, last.shape[1:], side)


def cell_boxes(cells: torch.Tensor, grid: torch.Size | tuple[int, int], side: Sequence[int]) -> Box:
    """Cells (..., 4), the last row and column exclusive, of a map (h, w) -> px of a picture (H, W), all inclusive."""
    scale = torch.tensor([side[k % 2] / grid[k % 2] for k in range(4)], dtype=torch.float64)
    return ((cells * scale.to(cells.device)).floor() - 1).clamp(min=0).float()


def largest_component(mask: torch.Tensor) -> torch.Tensor:
    """(B, h, w) bool -> the same: the largest 8-connected part; of equally large ones that which begins first."""
    count, height, width = mask.shape
    size = height * width
    flat = mask.flatten(1)
    outside = torch.full((count, size), size, device=mask.device)
    labels = torch.where(
        flat, torch.arange(size, device=mask.device), outside
    )  # a place, later its part's first place
    exporting = (
        torch.compiler.is_exporting()
    )  # a graph cannot ask whether it is done: as many rounds as it may take
    for _ in range(size):
        near = -F.max_pool2d(-labels.view(count, 1, height, width).double(), 3, stride=1, padding=1)
        near = torch.where(flat, near.long().flatten(1), outside)
        # The first place of a neighbour's part may know an earlier one already.
        jumped = F.pad(near, (0, 1), value=size).gather(1, near)
        if not exporting and torch.equal(jumped, labels):
            break
        labels = jumped
    sizes = torch.zeros(count, size + 1, device=mask.device).scatter_add_(1, labels, flat.float())
    return mask & (labels == sizes[:, :size].argmax(dim=1, keepdim=True)).view_as(mask)


def _above_mean(strength: torch.Tensor) -> torch.Tensor:
    return strength > strength.mean((1, 2), keepdim=True)


def _first(marked: torch.Tensor) -> torch.Tensor:
    """(B, n) bool -> (B,): where the first is; each row has one."""
    return marked.int().argmax(dim=1)


def cut_out(images: torch.Tensor, boxes: Box, side: Sequence[int]) -> torch.Tensor:
    """(B, 3, H, W) and boxes (B, 4) or (B, N, 4) -> (B or B N, 3, *side), bilinear, corners on corners.

    The same as cutting each out and ``interpolate(..., align_corners=True)``.
    """
    height, width = images.shape[2:]
    if boxes.ndim == 3:
        images, boxes = images.repeat_interleave(boxes.shape[1], dim=0), boxes.flatten(0, 1)
    lines = []
    for axis, (length, wanted) in enumerate(zip((height, width), side, strict=True)):
        share = torch.linspace(0, 1, wanted, device=images.device)
        start, end = boxes[:, axis, None], boxes[:, axis + 2, None]
        lines.append((start + share * (end - start)) * (2 / max(length - 1, 1)) - 1)
    rows, columns = (line.to(images) for line in lines)
    grid = torch.stack(
        [columns[:, None, :].expand(-1, side[0], -1), rows[:, :, None].expand(-1, -1, side[1])], dim=3
    )
    return F.grid_sample(images, grid, align_corners=True)


def outlines(boxes: Box, side: tuple[int, int]) -> torch.Tensor:
    """(..., 4) -> (..., H, W) in {0, 1}: the edges of the boxes, inside of them, a hundredth of the picture wide."""
    line = max(1, round(min(side) / 100))
    rows, columns = (torch.arange(length, device=boxes.device) for length in side)
    top, left, bottom, right = (end[..., None] for end in boxes.unbind(dim=-1))

    def inside(margin: int) -> torch.Tensor:
        tall = (rows >= top + margin) & (rows <= bottom - margin)
        wide = (columns >= left + margin) & (columns <= right - margin)
        return tall[..., :, None] & wide[..., None, :]

    return (inside(0) & ~inside(line)).float()
