"""SaliencyMix: CutMix whose box is cut where the other picture is salient."""

import math
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.boxes import clipped, inside
from foveate.augmentation.guidance import GuidedConfig, contrast, guide, peaks
from foveate.augmentation.mixing import Mix
from foveate.augmentation.pairs import partner_of, paste
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
