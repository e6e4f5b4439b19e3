"""Random erasing: a rectangle of random size and shape hidden."""

import math
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from foveate.augmentation.boxes import around, inside
from foveate.augmentation.chance import Range
from foveate.augmentation.erasing import Erase, EraseConfig
from foveate.data.batch import Batch

TRIES = 100
"""Rectangles that are drawn for a picture until one fits."""


class RandomErasing(Erase):
    """A rectangle of random area and shape that lies wholly inside the picture is hidden.

    Area uniform in ``scale``, height / width log-uniform in ``ratio`` (as in torchvision; the authors' program draws it
    uniformly), place uniform; where none of 100 rectangles fits nothing happens. With ``region`` "object" the
    rectangle is drawn in the box around the mask, "both" draws one there and one in the whole picture (the paper's
    variants for detection). A picture without a mask counts as all object.

    Source: Zhong et al., Random erasing data augmentation, AAAI 2020.
    """

    class Config(EraseConfig):
        kind: Literal["random_erasing"] = "random_erasing"
        p: float = Field(default=0.5, ge=0, le=1)
        """Probability for each picture."""
        fill: Literal["mean", "noise"] = "noise"
        """What is put there; noise was best in the paper."""
        scale: Range = (0.02, 0.4)
        """Smallest and largest area, as a share of the region."""
        ratio: Range = (0.3, 1 / 0.3)
        """Smallest and largest height / width."""
        region: Literal["picture", "object", "both"] = "picture"
        """Where the rectangle lies."""

        def consumes(self) -> tuple[str, ...]:
            return () if self.region == "picture" else ("masks",)

        @model_validator(mode="after")
        def _possible(self) -> "RandomErasing.Config":
            if not (0 < self.scale[0] <= self.scale[1] <= 1 and 0 < self.ratio[0] <= self.ratio[1]):
                raise ValueError("scale must lie in (0, 1] and ratio above 0, the smaller value first")
            return self

    def holes(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        height, width = batch.images.shape[2:]
        everything = torch.tensor([0, 0, height, width], device=batch.images.device).expand(len(batch), 4)
        seen = (batch.masks > 0.5) & batch.has_mask[:, None, None, None]
        regions = {"picture": [everything], "object": [around(seen)], "both": [everything, around(seen)]}
        hidden = torch.zeros_like(batch.masks, dtype=torch.bool)
        for region in regions[self.config.region]:
            boxes = torch.from_numpy(self._boxes(region.cpu().numpy(), rng)).to(region.device)
            hidden |= inside(boxes, (height, width))
        return hidden

    def _boxes(self, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(B, 4) boxes inside of ``region`` (B, 4); empty where none fits."""
        many = (len(region), TRIES)
        height, width = (region[:, 2:] - region[:, :2]).T[:, :, None]
        area = rng.uniform(self.config.scale[0], self.config.scale[1], many) * height * width
        ratio = np.exp(rng.uniform(math.log(self.config.ratio[0]), math.log(self.config.ratio[1]), many))
        tall, wide = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (tall < height) & (wide < width)
        first = fits.argmax(axis=1)[:, None]
        place = rng.random((2, len(region)))
        sides = [np.take_along_axis(side * fits, first, 1)[:, 0] for side in (tall, wide)]
        ends = []
        for k, side in enumerate(sides):
            start = region[:, k] + np.floor(place[k] * (region[:, k + 2] - region[:, k] - side + 1))
            ends.append((start, start + side))
        return np.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], axis=1).astype(np.int64)
