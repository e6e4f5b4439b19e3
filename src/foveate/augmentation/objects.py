"""Objects cut out by their masks and pasted into other pictures: placed, turned, scaled, blended."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from foveate.augmentation.boxes import around
from foveate.augmentation.chance import Range, uniform
from foveate.augmentation.warp import Matrix, affine
from foveate.data.batch import Batch

Blend = Literal["none", "gaussian", "poisson"]
"""How an edge is made: cut sharply, softened, or so that only the colour steps inside the object are kept."""
SOFTNESS = 2.0
"""Sigma of the softened edge, in pixels."""


def lenders(batch: Batch, rng: np.random.Generator) -> torch.Tensor:
    """(B,) int64: for each picture with a mask another one with a mask, in a random order; itself for the others."""
    rows = np.flatnonzero(batch.has_mask.cpu().numpy())
    partner = np.arange(len(batch))
    partner[rows] = rng.permutation(rows)
    return torch.from_numpy(partner).to(batch.images.device)


def pose(masks: torch.Tensor, centre: torch.Tensor, side: torch.Tensor, degrees: torch.Tensor) -> Matrix:
    """The matrix that shows each object at ``centre`` (B, 2) y, x, its box's longer side ``side`` (B,) px, turned by
    ``degrees`` (B,) counter-clockwise. masks: (B, 1, H, W)."""
    boxes = around(masks > 0.5).to(centre)
    longer = torch.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    factor = side / longer
    y, x = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    angle = -torch.deg2rad(degrees)
    c, s = angle.cos() / factor, angle.sin() / factor
    return (
        c, s, x - c * centre[:, 1] - s * centre[:, 0],
        -s, c, y + s * centre[:, 1] - c * centre[:, 0],
    )  # fmt: skip


def somewhere(
    rng: np.random.Generator, masks: torch.Tensor, scale: Range, truncation: float, degrees: float
) -> Matrix:
    """A random pose for each object of masks (B, 1, H, W): the longer side of its box a uniform share of the shorter
    side of the picture, its place uniform, up to ``truncation`` of its height and width outside, turned by up to
    ``degrees`` either way."""
    count = len(masks)
    like = masks
    height, width = masks.shape[2:]
    side = uniform(rng, scale, count, like) * min(height, width)
    boxes = around(masks > 0.5).to(like)
    sides = torch.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]], dim=1)
    sides = sides * (side / sides.amax(dim=1))[:, None]
    low = sides * (0.5 - truncation)
    high = torch.tensor([height, width]).to(like) - low
    draw = torch.from_numpy(rng.random((count, 2))).to(like)
    angle = uniform(rng, (-degrees, degrees), count, like)
    return pose(masks, low + draw * (high - low).clamp(min=0), side, angle)


def blended(behind: torch.Tensor, shown: torch.Tensor, masks: torch.Tensor, how: np.ndarray) -> torch.Tensor:
    """Objects of ``shown`` (B, 3, H, W) and masks (B, 1, H, W) before ``behind``, each in its way (B,) of ``Blend``."""
    soft = torch.from_numpy(how == "gaussian").to(masks.device).view(-1, 1, 1, 1)
    found = behind.lerp(shown, torch.where(soft, softened(masks), masks))
    rows = torch.from_numpy(np.flatnonzero(how == "poisson")).to(masks.device)
    if len(rows):
        found[rows] = poisson(behind[rows], shown[rows], masks[rows] > 0.5)
    return found


def softened(masks: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) with edges that fade over a few pixels."""
    radius = int(2 * SOFTNESS)
    place = torch.arange(-radius, radius + 1, device=masks.device, dtype=masks.dtype)
    kernel = torch.exp(-0.5 * (place / SOFTNESS) ** 2)
    kernel = kernel / kernel.sum()
    masks = F.pad(masks, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(masks, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def poisson(behind: torch.Tensor, shown: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """The picture whose steps between neighbours are those of ``shown`` where both lie inside (B, 1, H, W), else those
    of ``behind``, as far as can be (least squares); on the picture's border it is ``behind``.

    Solved by sine transforms, as OpenCV's seamlessClone is. Source: Pérez et al., Poisson image editing, SIGGRAPH 2003.
    """
    extra = shown - behind
    divergence = torch.zeros_like(behind)
    for dim in (2, 3):
        length = behind.shape[dim] - 1
        both = inside.narrow(dim, 0, length) & inside.narrow(dim, 1, length)
        step = (extra.narrow(dim, 1, length) - extra.narrow(dim, 0, length)) * both
        divergence.narrow(dim, 0, length).add_(step)
        divergence.narrow(dim, 1, length).sub_(step)
    inner = divergence[:, :, 1:-1, 1:-1].double()
    if not inner.numel():
        return behind
    rows, columns = inner.shape[2:]
    waves = [
        2
        * torch.cos(torch.pi * torch.arange(1, side + 1, device=inner.device, dtype=inner.dtype) / (side + 1))
        - 2
        for side in (rows, columns)
    ]
    spectrum = _sines(_sines(inner, 2), 3) / (waves[0][:, None] + waves[1])
    change = _sines(_sines(spectrum, 2), 3) / (4 * (rows + 1) * (columns + 1))
    return behind + F.pad(change, (1, 1, 1, 1)).to(behind)


def _sines(values: torch.Tensor, dim: int) -> torch.Tensor:
    """The discrete sine transform (type I) along ``dim``; applied twice it multiplies by 2 (side + 1)."""
    side = values.shape[dim]
    nothing = torch.zeros_like(values.narrow(dim, 0, 1))
    odd = torch.cat([nothing, values, nothing, -values.flip(dim)], dim)
    return -torch.fft.rfft(odd, dim=dim).imag.narrow(dim, 1, side)


def cut(batch: Batch, rows: torch.Tensor, matrix: Matrix) -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures (B, 3, H, W) and masks (B, 1, H, W) of ``rows`` in another pose; nothing is object outside."""
    return affine(batch.images[rows], matrix), affine(batch.masks[rows], matrix)
