"""The picture distorted: stretched between the corners of a grid, or tilted."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.augmentation.chance import chosen
from foveate.augmentation.mixing import Transform
from foveate.augmentation.warp import places, warp_rows
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class Elastic(Transform):
    """The inner corners of a grid over each picture are moved at random, and the picture is stretched between them.

    Both coordinates of a corner move by up to ``magnitude``; the label stays, the mask moves along. Source: the
    operation of Augmentor, as in O'Gara & McGuinness, Comparing data augmentation strategies for deep image
    classification, IMVIP 2019: 6 x 6 cells, 5 of 32 pixels. Trap: so strong a distortion folds cells over; small parts
    that tell look-alike classes apart may be lost.
    """

    class Config(Settings):
        kind: Literal["elastic"] = "elastic"
        p: float = Field(default=0.5, ge=0, le=1)
        """Probability for each picture; not recovered, our choice."""
        cells: int = Field(default=6, ge=2, le=64)
        """Cells along each side."""
        magnitude: float = Field(default=5 / 32, ge=0, le=1)
        """Largest move along each axis, as a share of the side."""

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        count, like = len(batch), batch.images
        inner = self.config.cells - 1
        moves = rng.uniform(-1, 1, (count, 2, inner, inner)) * 2 * self.config.magnitude
        rows = chosen(rng, self.config.p, count, like).flatten().nonzero()[:, 0]
        corners = F.pad(torch.from_numpy(moves).to(like)[rows], (1, 1, 1, 1))
        # The corners are where they were, at the middle of the border pixels; between them all is linear.
        for dim, side in ((0, like.shape[3]), (1, like.shape[2])):
            line = torch.linspace(1 / side - 1, 1 - 1 / side, inner + 2, device=like.device)
            corners[:, dim] += line if dim == 0 else line[:, None]
        there = F.interpolate(corners, like.shape[2:], mode="bilinear", align_corners=True)
        warp_rows(batch, rows, there, "border")
        return batch


class Perspective(Transform):
    """The corners of each picture move inwards at random, and the picture follows as a plane in space would.

    As torchvision's RandomPerspective; what opens shows the mean colour, the label stays, the mask moves along.
    """

    class Config(Settings):
        kind: Literal["perspective"] = "perspective"
        p: float = Field(default=0.5, ge=0, le=1)
        """Probability for each picture."""
        distortion: float = Field(default=0.5, ge=0, le=0.5)
        """Largest move of a corner, as a share of half the side. Above a half corners may come to lie in a line."""

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        rows = chosen(rng, self.config.p, len(batch), batch.images).flatten().nonzero()[:, 0]
        size = (batch.images.shape[2], batch.images.shape[3])
        start, end = self.corners(len(batch), size, rng)
        matrices = torch.from_numpy(homography(end, start)).to(rows.device)[rows]
        warp_rows(batch, rows, places(tuple(matrices.flatten(1).T), len(rows), size, batch.images))
        return batch

    def corners(
        self, count: int, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where the corners were and where they go: (B, 4, 2) x, y of pixels, clockwise from the top left."""
        far = np.array([size[1] - 1, size[0] - 1])
        start = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * far
        sides = np.array([size[1], size[0]])
        bound = np.minimum((self.config.distortion * (sides // 2)).astype(int), (sides - 1) // 4) + 1
        inward = np.floor(rng.random((count, 4, 2)) * bound) * np.where(start > 0, -1, 1)
        return np.broadcast_to(start, inward.shape).astype(float), np.clip(start + inward, 0, far)


def homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(B, 3, 3) that take four points (B, 4, 2) each to four others."""
    count = len(source)
    rows = np.zeros((count, 4, 2, 8))
    for axis in (0, 1):
        rows[:, :, axis, 3 * axis : 3 * axis + 2] = source
        rows[:, :, axis, 3 * axis + 2] = 1
        rows[:, :, axis, 6:] = -source * target[:, :, axis : axis + 1]
    found = np.linalg.solve(rows.reshape(count, 8, 8), target.reshape(count, 8, 1))[:, :, 0]
    return np.concatenate([found, np.ones((count, 1))], axis=1).reshape(count, 3, 3)
