"""GridMask: squares on a turned grid hidden."""

import math
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from foveate.augmentation.chance import Range, uniform
from foveate.augmentation.erasing import Erase, EraseConfig
from foveate.core.progress import Progress
from foveate.data.batch import Batch


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
        period: Range = (96 / 224, 1.0)
        """Smallest and largest period, as shares of the picture's shorter side."""
        kept: float = Field(default=0.6, gt=0, lt=1)
        """r: width of a stripe as a share of the period."""
        degrees: float = Field(default=360.0, ge=0, le=360)
        """The grid is turned by up to so much."""
        reverse: bool = False
        """Hide the stripes and keep the squares."""

        @model_validator(mode="after")
        def _possible(self) -> "GridMask.Config":
            if not 0 < self.period[0] <= self.period[1] <= 4:
                raise ValueError("period must lie in (0, 4], the smaller value first")
            return self

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
