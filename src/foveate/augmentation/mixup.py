"""Mixup: two pictures blended, and their labels in the same proportion."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.mixing import Mix, MixConfig
from foveate.augmentation.pairs import both_masks, mix_targets, partner_of, soft_targets
from foveate.data.batch import Batch


class Mixup(Mix):
    """Two pictures blended, their labels in the same proportion.

    x = lambda own + (1 - lambda) partner's, one lambda ~ Beta(alpha, alpha) a batch; labels alike.

    Source: Zhang et al., mixup, ICLR 2018. Pictures and masks of the batch are changed in place; a blended mask tells
    each place's share of object. The mask of the mixture is known where both masks are.
    """

    class Config(MixConfig):
        kind: Literal["mixup"] = "mixup"
        alpha: float = Field(default=1.0, gt=0)
        """Of the Beta distribution; smaller: mostly one of the two pictures (0.2 is usual on ImageNet)."""

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        kept = float(rng.beta(self.config.alpha, self.config.alpha))
        partner = partner_of(batch, rng)
        for values in (batch.images, batch.masks):
            values.lerp_(
                values[partner], 1 - kept
            )  # the index copies, so nothing is read after it was written
        share = self.label_share(batch.labels, partner, kept)
        targets = mix_targets(soft_targets(batch, self.classes), partner, share)
        return batch.replace(targets=targets, has_mask=both_masks(batch, partner))

    def label_share(self, labels: torch.Tensor, partner: torch.Tensor, kept: float) -> torch.Tensor:
        """(B,) what of the label is a picture's own; labels (B,) int64, partner (B,) int64, kept: lambda."""
        return torch.full((len(labels),), kept, device=labels.device)
