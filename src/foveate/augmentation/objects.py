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
    soft, seamless = (
        torch.from_numpy(np.flatnonzero(how == name)).to(masks.device) for name in ("gaussian", "poisson")
    )
    edges = masks.index_copy(0, soft, softened(masks[soft]))
    found = behind.lerp(shown, edges)
    found[seamless] = poisson(behind[seamless], shown[seamless], masks[seamless] > 0.5)
    return found


def softened(masks: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) with edges that fade over a few pixels; what lies at a border goes on beyond it."""
    radius = int(2 * SOFTNESS)
    away = torch.arange(-radius, radius + 1, device=masks.device)
    kernel = torch.exp(-0.5 * (away / SOFTNESS) ** 2)
    kernel = (kernel / kernel.sum()).to(masks)
    for dim in (2, 3):
        side = masks.shape[dim]
        place = torch.arange(side, device=masks.device)[:, None]
        line = masks.new_zeros(side, side)
        line.index_put_((place, (place + away).clamp(0, side - 1)), kernel.expand(side, -1), accumulate=True)
        masks = line @ masks if dim == 2 else masks @ line.T
    return masks


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
    inner = divergence[:, :, 1:-1, 1:-1]
    if not inner.numel():
        return behind
    (down, fall), (across, run) = (_sines(side, inner) for side in inner.shape[2:])
    spectrum = (down @ inner @ across) / (fall[:, None] + run)
    return behind + F.pad(down @ spectrum @ across, (1, 1, 1, 1))


def _sines(side: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(side, side) the sine transform, its own inverse, and (side,) what second differences do to each wave."""
    place = torch.arange(1, side + 1, device=like.device, dtype=torch.float64) * torch.pi / (side + 1)
    waves = (
        torch.sin(place[:, None] * torch.arange(1, side + 1, device=like.device)) * (2 / (side + 1)) ** 0.5
    )
    return waves.to(like), (2 * place.cos() - 2).to(like)


def cut(batch: Batch, rows: torch.Tensor, matrix: Matrix) -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures (B, 3, H, W) and masks (B, 1, H, W) of ``rows`` in another pose; nothing is object outside."""
    return affine(batch.images[rows], matrix), affine(batch.masks[rows], matrix)
