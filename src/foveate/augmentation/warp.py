"""Pictures moved, turned and stretched, each in its own way: (B, C, H, W) floats; 0 where nothing was.

Places are in pixels from the top left corner of the picture, so that the centre of the first pixel is at 1/2.
"""

import torch
import torch.nn.functional as F

from foveate.data.batch import Batch

Matrix = tuple[torch.Tensor | float, ...]
"""a, b, c, d, e, f: the place (x, y) shows what was at (a x + b y + c, d x + e y + f); (B,) each, or for all."""
PIECE = 8
"""Pictures that are changed at a time: what is made on the way stays in the cache, and the system is not asked for
fresh memory, which takes longer than the work itself."""


def affine(values: torch.Tensor, matrix: Matrix, mode: str = "bilinear") -> torch.Tensor:
    """Every picture through its matrix."""
    return sampled(values, places(matrix, len(values), (values.shape[2], values.shape[3]), values), mode)


def places(matrix: Matrix, count: int, size: tuple[int, int], like: torch.Tensor) -> torch.Tensor:
    """(count, 2, H, W) what each pixel shows of pictures (H, W) of ``size``, for ``sampled``.

    A matrix of nine values is a view in space: both places are divided by the last (g x + h y + i).
    """
    rows = torch.stack([torch.as_tensor(v).to(like.device, torch.float32).expand(count) for v in matrix])
    rows = rows.view(len(matrix) // 3, 3, count).permute(2, 0, 1)  # (count, 2 or 3, 3)
    scale = torch.tensor([2 / size[1], 2 / size[0], 1.0], device=like.device)[: rows.shape[1], None]
    x, y = (torch.arange(end, device=like.device) + 0.5 for end in (size[1], size[0]))
    across, down, start = ((rows * scale)[:, :, k, None] for k in range(3))
    planes = (across * x)[:, :, None, :] + (down * y + start)[:, :, :, None]
    if planes.shape[1] == 3:
        planes = planes[:, :2].div_(planes[:, 2:])
    return planes.sub_(1)


def sampled(
    values: torch.Tensor, places: torch.Tensor, mode: str = "bilinear", outside: str = "zeros"
) -> torch.Tensor:
    """Every pixel shows what was at ``places`` (B, 2, H, W), x first, -1 and 1 being the picture's borders."""
    grid = places.permute(0, 2, 3, 1)
    return F.grid_sample(values, grid, mode=mode, padding_mode=outside, align_corners=False)


def warp_rows(batch: Batch, rows: torch.Tensor, places: torch.Tensor, outside: str = "zeros") -> None:
    """Pictures and masks of ``rows`` (n,) int64, moved in place: ``places`` (n, 2, H, W) as in ``sampled``."""
    for part, there in zip(rows.split(PIECE), places.split(PIECE), strict=True):
        for values, mode in ((batch.images, "bilinear"), (batch.masks, "nearest")):
            values[part] = sampled(values[part], there, mode, outside)


def rotation(degrees: torch.Tensor, size: tuple[int, int]) -> Matrix:
    """About the centre of pictures (H, W) of ``size``; positive is counter-clockwise."""
    angle = -torch.deg2rad(degrees)
    c, s = angle.cos(), angle.sin()
    x, y = size[1] / 2, size[0] / 2
    return c, s, x - c * x - s * y, -s, c, y + s * x - c * y


def box_to_box(source: torch.Tensor, target: torch.Tensor) -> Matrix:
    """So that the box ``target`` shows what was in ``source``, stretched: (B, 4) top, left, bottom, right."""
    sides = [
        ((box[:, 2] - box[:, 0]).clamp(min=1), (box[:, 3] - box[:, 1]).clamp(min=1))
        for box in (source, target)
    ]
    tall, wide = (sides[0][k] / sides[1][k] for k in (0, 1))
    return wide, 0.0, source[:, 1] - target[:, 1] * wide, 0.0, tall, source[:, 0] - target[:, 0] * tall
