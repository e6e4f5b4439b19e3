"""ResizeMix: another picture, made small, pasted whole."""

from typing import Literal

import numpy as np
import torch.nn.functional as F
from pydantic import model_validator
from torch import nn

from foveate.augmentation.chance import Range
from foveate.augmentation.mixing import Mix, MixConfig
from foveate.augmentation.pairs import both_masks, mix_targets, partner_of, soft_targets
from foveate.data.batch import Batch


class ResizeMix(Mix):
    """Another picture, shrunk as a whole, is pasted; the label is mixed by area.

    Sides tau H x tau W with tau ~ U(``scale``), at a place where it fits, both one a batch; shrunk bilinearly. In
    contrast to CutMix nothing of the other picture is missing.

    Source: Qin et al., ResizeMix, 2020 (arXiv 2012.11101). Pictures and masks of the batch are changed in place; the
    mask of the mixture is known where both masks are.
    """

    class Config(MixConfig):
        kind: Literal["resizemix"] = "resizemix"
        scale: Range = (0.1, 0.8)
        """Smallest and largest side of the pasted picture, as a share of the side."""

        @model_validator(mode="after")
        def _possible(self) -> "ResizeMix.Config":
            if not 0 < self.scale[0] <= self.scale[1] <= 1:
                raise ValueError("scale must lie in (0, 1], the smaller value first")
            return self

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        targets = soft_targets(batch, self.classes)
        height, width = batch.images.shape[2:]
        tau = rng.uniform(*self.config.scale)
        tall, wide = max(1, round(tau * height)), max(1, round(tau * width))
        top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
        partner = partner_of(batch, rng)
        for values in (batch.images, batch.masks):
            small = F.interpolate(values, (tall, wide), mode="bilinear", antialias=True)
            values[:, :, top : top + tall, left : left + wide] = small[partner]
        share = batch.images.new_full((len(batch),), 1 - tall * wide / (height * width))
        return batch.replace(
            targets=mix_targets(targets, partner, share), has_mask=both_masks(batch, partner)
        )
