"""Attentive CutMix: the most attentive cells of another picture, pasted at their places."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from foveate.augmentation.guidance import GuidedConfig, activation, guide
from foveate.augmentation.mixing import Mix
from foveate.augmentation.pairs import partner_of, paste
from foveate.data.batch import Batch


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
