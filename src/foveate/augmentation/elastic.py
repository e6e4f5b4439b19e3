"""Elastic distortion: the corners of a grid moved, the picture stretched between them."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.augmentation.chance import chosen
from foveate.augmentation.pairs import Counts
from foveate.augmentation.warp import warp_rows
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class Elastic:
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

    def __init__(self, config: Config, counts: Counts) -> None:
        self.config = config

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
