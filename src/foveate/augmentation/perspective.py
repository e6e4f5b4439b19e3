"""Perspective: the picture as if it hung at an angle."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.chance import chosen
from foveate.augmentation.pairs import Counts
from foveate.augmentation.warp import places, warp_rows
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class Perspective:
    """The corners of each picture move inwards at random, and the picture follows as a plane in space would.

    As torchvision's RandomPerspective; what opens shows the mean colour, the label stays, the mask moves along.
    """

    class Config(Settings):
        kind: Literal["perspective"] = "perspective"
        p: float = Field(default=0.5, ge=0, le=1)
        """Probability for each picture."""
        distortion: float = Field(default=0.5, ge=0, le=0.5)
        """Largest move of a corner, as a share of half the side. Above a half corners may come to lie in a line."""

    def __init__(self, config: Config, counts: Counts) -> None:
        self.config = config

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
