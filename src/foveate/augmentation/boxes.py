"""Boxes, one a picture: (B, 4) int64 top, left, bottom, right in pixels, the last two just outside."""

import torch


def clipped(
    y: torch.Tensor, x: torch.Tensor, height: torch.Tensor, width: torch.Tensor, size: tuple[int, int]
) -> torch.Tensor:
    """Boxes of height and width (B,) int64 around the pixels (y, x), cut off at the border of pictures of ``size``."""
    top, left = y - height // 2, x - width // 2
    corners = [top, left, top + height, left + width]
    return torch.stack([corner.clamp(0, size[k % 2]) for k, corner in enumerate(corners)], dim=1)


def inside(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(B, 1, H, W) bool: the pixels in each picture's box."""
    top, left, bottom, right = boxes[:, :, None].unbind(1)
    rows, columns = (torch.arange(side, device=boxes.device) for side in size)
    tall, wide = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    return (tall[:, :, None] & wide[:, None, :])[:, None]


def around(where: torch.Tensor) -> torch.Tensor:
    """The smallest boxes around what is True in (B, 1, H, W) bool; the whole picture where nothing is."""
    size = (where.shape[2], where.shape[3])
    where = where | ~where.flatten(1).any(dim=1)[:, None, None, None]
    ends = []
    for dim, side in ((3, size[0]), (2, size[1])):
        line = where.any(dim=dim)[:, 0].to(torch.uint8)  # (B, side)
        ends.append((line.argmax(dim=1), side - line.flip(1).argmax(dim=1)))
    return torch.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], dim=1)
