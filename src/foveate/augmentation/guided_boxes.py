"""Boxes and cells of another picture, placed or weighed by a map."""

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from foveate.augmentation.boxes import clipped, inside
from foveate.augmentation.cutmix import draw_box
from foveate.augmentation.guidance import GuidedConfig, activation, class_map, contrast, guide, peaks
from foveate.augmentation.mixing import (
    Mix,
    mixed,
    partner_of,
    paste,
)
from foveate.data.batch import Batch


class SaliencyMix(Mix):
    """A box around the most salient place of another picture, pasted at the same place; the label mixed by area.

    Sides sqrt(1 - lambda) of the picture's, lambda ~ Beta(alpha, alpha) one a batch, clipped at the border; the place
    is found for every picture. Own map: the contrast of a pixel with squares around it (OpenCV's fine-grained saliency,
    which the authors take), which asks no network.

    Source: Uddin et al., SaliencyMix, ICLR 2021. Pictures and masks of the batch are changed in place; the mask of the
    mixture is known where both masks are.
    """

    class Config(GuidedConfig):
        kind: Literal["saliencymix"] = "saliencymix"
        alpha: float = Field(default=1.0, gt=0)
        """Of the Beta distribution."""

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        size = (batch.images.shape[2], batch.images.shape[3])
        ratio = math.sqrt(1 - rng.beta(self.config.alpha, self.config.alpha))
        partner = partner_of(batch, rng)
        y, x = peaks(guide(self.config, contrast, model, batch))
        tall, wide = (torch.tensor(int(side * ratio), device=y.device) for side in size)
        boxes = clipped(y, x, tall, wide, size)[partner]
        return paste(batch, partner, inside(boxes, size), self.classes)


class AttentiveCutMix(Mix):
    """The most attentive cells of another picture, pasted at the same places; the label mixed by area.

    Own map: the mean over channels of the last feature map. The authors ask a second, fixed network that was trained on
    ImageNet; here the network in training is asked. Source: Walawalkar et al., Attentive CutMix, ICASSP 2020 (arXiv
    2003.13048). Pictures and masks of the batch are changed in place; the mask of the mixture is known where both are.
    """

    class Config(GuidedConfig):
        kind: Literal["attentive_cutmix"] = "attentive_cutmix"
        grid: int = Field(default=7, ge=2, le=64)
        """Cells along each side."""
        cells: int = Field(default=6, ge=1, le=4096)
        """How many of them are pasted: 6 of 49 in the paper."""

        @model_validator(mode="after")
        def _enough(self) -> "AttentiveCutMix.Config":
            if self.cells > self.grid**2:
                raise ValueError(f"{self.cells} cells of a grid of {self.grid} x {self.grid}")
            return self

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        partner, grid = partner_of(batch, rng), self.config.grid
        attention = F.adaptive_avg_pool2d(guide(self.config, activation, model, batch)[:, None], grid)
        best = attention.flatten(1).topk(self.config.cells, dim=1).indices
        chosen = torch.zeros_like(attention).flatten(1).scatter_(1, best, 1.0).view_as(attention)
        place = F.interpolate(chosen, batch.images.shape[2:], mode="nearest-exact")
        return paste(batch, partner, place[partner], self.classes)


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
        kept, lent = torch.where(alike, both, left), torch.where(alike, both, came)
        return mixed(batch, partner, kept, self.classes, other=lent)


def percent_maps(maps: torch.Tensor) -> torch.Tensor:
    """Maps (B, H, W) with their minimum at 0 and the sum 1; constant ones are spread evenly."""
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    total = maps.sum(dim=(1, 2), keepdim=True)
    return torch.where(total > 0, maps / total.clamp(min=1e-12), 1 / (maps.shape[1] * maps.shape[2]))
