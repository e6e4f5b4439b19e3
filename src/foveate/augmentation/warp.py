"""Pictures moved, turned and stretched, each in its own way: (B, C, H, W) floats; 0 where nothing was.

Places are in pixels from the top left corner of the picture, so that the centre of the first pixel is at 1/2.
"""

import torch
import torch.nn.functional as F

Matrix = tuple[torch.Tensor | float, ...]
"""a, b, c, d, e, f: the place (x, y) shows what was at (a x + b y + c, d x + e y + f); (B,) each, or for all."""


def affine(values: torch.Tensor, matrix: Matrix, mode: str = "bilinear") -> torch.Tensor:
    """Every picture through its matrix."""
    height, width = values.shape[2:]
    a, b, c, d, e, f = (
        torch.as_tensor(value, dtype=torch.float32, device=values.device).expand(len(values))
        for value in matrix
    )
    # Pixels to the coordinates of affine_grid: u = 2 x / W - 1, v = 2 y / H - 1.
    theta = torch.stack(
        [
            a, b * height / width, a + b * height / width + 2 * c / width - 1,
            d * width / height, e, d * width / height + e + 2 * f / height - 1,
        ], dim=1,
    ).view(-1, 2, 3)  # fmt: skip
    grid = F.affine_grid(theta, list(values.shape), align_corners=False)
    return F.grid_sample(values, grid, mode=mode, align_corners=False)


def sampled(values: torch.Tensor, places: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """Every pixel shows what was at ``places`` (B, H, W, 2), x first; beyond the border the border goes on."""
    height, width = values.shape[2:]
    grid = 2 * places / torch.tensor([width, height], device=places.device) - 1
    return F.grid_sample(values, grid, mode=mode, padding_mode="border", align_corners=False)


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
