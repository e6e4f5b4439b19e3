"""SnapMix: boxes of different size exchanged, labels weighed by what the class maps say of them."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.augmentation.cutmix import draw_box
from foveate.augmentation.guidance import GuidedConfig, class_map, guide
from foveate.augmentation.mixing import Mix
from foveate.augmentation.pairs import both_masks, partner_of, soft_targets, weigh_targets
from foveate.data.batch import Batch


class SnapMix(Mix):
    """A box of another picture, resized into a box of this one; labels weighed by the evidence that went and came.

    Weights: 1 - (share of the own class map in the own box), and the share of the partner's class map in its box; they
    need not sum to 1. Both boxes are drawn once a batch as in CutMix, each with its own lambda ~ Beta(beta, beta). A
    pair of one class counts with the sum of both weights for each of the two, as in the authors' program; so does a
    picture that is its own partner. A constant map weighs by area. Own map: CAM of the label's class, which needs a
    linear head on pooled maps; other heads take ``explainer: gradcam``.

    Source: Huang et al., SnapMix, AAAI 2021. Pictures and masks of the batch are changed in place; the mask of the
    mixture is known where both masks are.
    """

    class Config(GuidedConfig):
        kind: Literal["snapmix"] = "snapmix"
        beta: float = Field(default=5.0, gt=0)
        """Of the Beta distribution; 5 with p 1 for fine-tuning, p 0.5 from scratch."""

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        targets = soft_targets(batch, self.classes)
        size = (batch.images.shape[2], batch.images.shape[3])
        own, other = (draw_box(*size, rng.beta(self.config.beta, self.config.beta), rng) for _ in range(2))
        partner = partner_of(batch, rng)
        tall, wide = (part.stop - part.start for part in own)
        if not tall * wide or any(part.stop == part.start for part in other):
            return batch
        shares = percent_maps(guide(self.config, class_map, model, batch))
        left = 1 - shares[:, *own].sum(dim=(1, 2))
        came = shares[:, *other].sum(dim=(1, 2))[partner]
        for values in (batch.images, batch.masks):
            cut = values[:, :, *other][partner]
            values[:, :, *own] = F.interpolate(cut, (tall, wide), mode="bilinear", align_corners=True)
        alike = batch.labels == batch.labels[partner]
        both = left + came
        weights = (torch.where(alike, both, left), torch.where(alike, both, came))
        return batch.replace(
            targets=weigh_targets(targets, partner, *weights), has_mask=both_masks(batch, partner)
        )


def percent_maps(maps: torch.Tensor) -> torch.Tensor:
    """Maps (B, H, W) with their minimum at 0 and the sum 1; constant ones are spread evenly."""
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    total = maps.sum(dim=(1, 2), keepdim=True)
    return torch.where(total > 0, maps / total.clamp(min=1e-12), 1 / (maps.shape[1] * maps.shape[2]))
