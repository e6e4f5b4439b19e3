"""KeepAugment: erasing and distorting that spare what the label rests on."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.augmentation.boxes import inside
from foveate.augmentation.chance import chosen
from foveate.augmentation.guidance import GuidedConfig, gradient, guide
from foveate.augmentation.mixing import Counts
from foveate.augmentation.policies import RandAugment
from foveate.core.progress import Progress
from foveate.data.batch import Batch

PLACES = 32
"""Places of a region along each side that are compared, about."""


class KeepAugment:
    """Only unimportant regions are erased, or important ones pasted back after the whole picture was changed.

    A region's score is the sum of the map in it; the threshold is the ``quantile`` of the scores of all regions of its
    size in the same picture (which about 32 x 32 places stand for). "cut" hides a region below it, drawn uniformly; the
    paper draws until one is below, which is the same. "paste" puts RandAugment on the picture and then one original
    region above it back at its place. The label stays; the mask follows. Own map: |d logit / dx| of the label's class.

    Source: Gong et al., KeepAugment, CVPR 2021. The size of regions was not recovered and is our choice.
    """

    class Config(GuidedConfig):
        kind: Literal["keep_augment"] = "keep_augment"
        p: float = Field(default=1.0, ge=0, le=1)
        """Probability for each picture."""
        mode: Literal["cut", "paste"] = "cut"
        """Selective cut or selective paste."""
        side: float = Field(default=0.4, gt=0, lt=1)
        """Of the square region, as a share of the picture's shorter side."""
        quantile: float = Field(default=0.6, ge=0, le=1)
        """Share of regions that count as unimportant."""
        magnitude: int = Field(default=9, ge=0, le=30)
        """Of RandAugment in "paste"."""
        operations: int = Field(default=2, ge=1, le=14)
        """Of RandAugment in "paste"."""

    def __init__(self, config: Config, counts: Counts) -> None:
        self.config = config
        self.policy = RandAugment(
            RandAugment.Config(magnitude=config.magnitude, operations=config.operations), counts
        )

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        some = chosen(rng, self.config.p, len(batch), batch.images)
        region = self.regions(guide(self.config, gradient, model, batch), rng)
        if self.config.mode == "cut":
            for values in (batch.images, batch.masks):
                values.mul_(~(region & some))
            return batch
        images, masks = batch.images.clone(), batch.masks.clone()
        changed = self.policy(batch, model, rng, progress)
        keep = region | ~some
        for values, plain in ((changed.images, images), (changed.masks, masks)):
            values.mul_(~keep).add_(plain.mul_(keep))
        return changed

    def regions(self, maps: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """(B, 1, H, W) bool: one region a picture, from maps (B, H, W)."""
        size = (maps.shape[1], maps.shape[2])
        side = max(1, round(self.config.side * min(size)))
        step = max(1, (min(size) - side) // PLACES)
        sums = F.pad(maps.float().cumsum(1), (0, 0, 1, 0))
        sums = F.pad((sums[:, side::step] - sums[:, :-side:step]).cumsum(2), (1, 0))
        scores = sums[:, :, side::step] - sums[:, :, :-side:step]  # (B, h, w)
        columns, scores = scores.shape[2], scores.flatten(1)
        threshold = scores.quantile(self.config.quantile, dim=1, keepdim=True)
        fit = scores < threshold if self.config.mode == "cut" else scores > threshold
        fit |= ~fit.any(dim=1, keepdim=True)  # all alike
        draw = torch.from_numpy(rng.random(tuple(scores.shape))).to(scores) + 1
        place = (draw * fit).argmax(dim=1)
        top, left = place // columns * step, place % columns * step
        return inside(torch.stack([top, left, top + side, left + side], dim=1), size)
