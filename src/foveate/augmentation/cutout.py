"""Cutout: a square hidden."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from foveate.augmentation.boxes import clipped, inside
from foveate.augmentation.chance import whole
from foveate.augmentation.erasing import Erase, EraseConfig
from foveate.data.batch import Batch


class Cutout(Erase):
    """A square of fixed size around a uniform pixel is hidden, cut off at the border.

    Source: DeVries & Taylor, Improved regularization of convolutional neural networks with cutout, 2017
    (arXiv 1708.04552). The size is fixed there, only the place is random. (The augmentation step ``cutout`` is the
    rectangle of the plant-species report, which is hidden before the picture is moved and turned.)
    """

    class Config(EraseConfig):
        kind: Literal["cutout"] = "cutout"
        side: float = Field(default=0.5, ge=0, le=2)
        """As a share of the picture's shorter side: 16 of 32 pixels on CIFAR-10 in the paper, 8 on CIFAR-100."""
        holes: int = Field(default=1, ge=1, le=64)
        """Squares in a picture."""

    def holes(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        height, width = size = batch.images.shape[2:]
        hidden = torch.zeros_like(batch.masks, dtype=torch.bool)
        side = torch.tensor(round(self.config.side * min(size)), device=hidden.device)
        for _ in range(self.config.holes):
            y, x = (whole(rng, end, len(batch), batch.images) for end in (height, width))
            hidden |= inside(clipped(y, x, side, side, (height, width)), (height, width))
        return hidden
