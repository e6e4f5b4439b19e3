"""Cells of a grid: hidden, kept, or in another order."""

import math
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.chance import Range, chosen, uniform, within
from foveate.augmentation.erasing import Erase, EraseConfig
from foveate.augmentation.mixing import Transform
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class HideAndSeek(Erase):
    """Each cell of a grid is hidden with a probability of its own; the size of the cells is drawn for every picture.

    What is hidden shows the mean colour, so that the mean of the pictures stays. Source: Singh et al., Hide-and-Seek,
    2018 (arXiv 1811.02545): cells of 0 (nothing is hidden), 16, 32, 44 or 56 pixels of 224.
    """

    class Config(EraseConfig):
        kind: Literal["hide_and_seek"] = "hide_and_seek"
        cells: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
            default=(0.0, 1 / 14, 1 / 7, 11 / 56, 0.25), min_length=1, max_length=64
        )
        """Sides of the cells, as shares of the picture's shorter side, all equally likely; 0 hides nothing."""
        hidden: float = Field(default=0.5, ge=0, le=1)
        """Probability for each cell."""

    def holes(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        height, width = batch.images.shape[2:]
        device = batch.images.device
        sides = np.rint(rng.choice(self.config.cells, len(batch)) * min(height, width)).astype(np.int64)
        most = max(height, width)
        side = torch.from_numpy(np.where(sides > 0, sides, most)).to(device)[:, None]
        count = -(-most // int(side.min()))
        hidden = rng.random((len(batch), count, count)) < self.config.hidden
        hidden &= (sides > 0)[:, None, None]
        rows, columns = (
            torch.arange(end, device=device) // side for end in (height, width)
        )  # (B, H), (B, W)
        picture = torch.arange(len(batch), device=device)[:, None, None]
        return torch.from_numpy(hidden).to(device)[picture, rows[:, :, None], columns[:, None, :]][:, None]


class GridMask(Erase):
    """Squares on a regular grid are hidden; its period, place and angle are drawn for every picture.

    Period d, stripes of width ceil(r d) in both directions repeat every d and are kept; hidden are the squares between
    them, (1 - r)^2 of the area. ``reverse`` hides the stripes. The probability grows from 0 to ``p`` with training.

    Source: Chen et al., GridMask data augmentation, 2020 (arXiv 2001.04086): d from 96 to 224 of 224 pixels, p growing
    over 240 of 300 epochs.
    """

    class Config(EraseConfig):
        kind: Literal["grid_mask"] = "grid_mask"
        p: float = Field(default=0.8, ge=0, le=1)
        """Probability for each picture, at last."""
        ramp: float = Field(default=0.8, ge=0, le=1)
        """Share of the training over which it grows from 0."""
        period: Annotated[Range, within(4)] = (96 / 224, 1.0)
        """Smallest and largest period, as shares of the picture's shorter side."""
        kept: float = Field(default=0.6, gt=0, lt=1)
        """r: width of a stripe as a share of the period."""
        degrees: float = Field(default=360.0, ge=0, le=360)
        """The grid is turned by up to so much."""
        reverse: bool = False
        """Hide the stripes and keep the squares."""

    def probability(self, progress: Progress) -> float:
        ramp = self.config.ramp
        return float(self.config.p) * (min(1.0, progress.training / ramp) if ramp else 1.0)

    def holes(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        height, width = batch.images.shape[2:]
        like, count = batch.images, len(batch)
        low, high = (max(2, round(end * min(height, width))) for end in self.config.period)
        period = torch.from_numpy(rng.integers(low, max(high, low + 1), count)).to(like).view(-1, 1, 1)
        angle = uniform(rng, (0, math.radians(self.config.degrees)), count, like).view(-1, 1, 1)
        y = torch.arange(height, device=like.device, dtype=like.dtype)[:, None] - (height - 1) / 2
        x = torch.arange(width, device=like.device, dtype=like.dtype) - (width - 1) / 2
        stripe = (self.config.kept * period).ceil()
        between = []
        for along, across in ((angle.cos() * y, angle.sin() * x), (-angle.sin() * y, angle.cos() * x)):
            start = period * uniform(rng, (0, 1), count, like).view(-1, 1, 1)
            between.append((along + across + start).remainder_(period) >= stripe)  # (B, H, W)
        squares = (between[0] & between[1])[:, None]
        return ~squares if self.config.reverse else squares


class ShuffleTiles(Transform):
    """A picture cut into n x n tiles, which are put back in random order; what is learned from are parts, not shapes.

    The jigsaw of progressive multi-granularity training (Du et al., ECCV 2020), which draws one order for a batch; here
    each picture has its own. Labels stay, masks go along. What is left of a side that n does not divide stays in place.
    """

    class Config(Settings):
        kind: Literal["shuffle_tiles"] = "shuffle_tiles"
        p: float = Field(default=0.5, ge=0, le=1)
        """Probability for each picture."""
        grids: Annotated[tuple[Annotated[int, Field(ge=2, le=64)], ...], Field(min_length=1)] = (2, 4, 8)
        """n; one of these is drawn for each batch."""

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        rows = chosen(rng, self.config.p, len(batch), batch.images).flatten().nonzero()[:, 0]
        n = min(int(rng.choice(self.config.grids)), *batch.images.shape[2:])
        order = rng.permuted(np.tile(np.arange(n * n), (len(batch), 1)), axis=1)
        index = torch.from_numpy(order).to(rows.device)[rows]
        for values in (batch.images, batch.masks):
            values[rows] = shuffled(values[rows], index, n)
        return batch


def shuffled(values: torch.Tensor, order: torch.Tensor, n: int) -> torch.Tensor:
    """(B, K, H, W), (B, n n) -> (B, K, H, W): place k holds the tile that was at ``order[:, k]``."""
    count, channels, height, width = values.shape
    rows, columns = height // n, width // n
    whole = values[:, :, : rows * n, : columns * n].reshape(count, channels, n, rows, n, columns)
    tiles = whole.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, n n, K, rows, columns)
    moved = tiles[torch.arange(count, device=values.device)[:, None], order].unflatten(1, (n, n))
    result = values.clone()
    result[:, :, : rows * n, : columns * n] = moved.permute(0, 3, 1, 4, 2, 5).reshape(
        count, channels, rows * n, columns * n
    )
    return result
