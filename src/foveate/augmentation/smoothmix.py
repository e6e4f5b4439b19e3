"""SmoothMix: a soft round window into another picture."""

from typing import Literal

import numpy as np
import torch
from pydantic import model_validator
from torch import nn

from foveate.augmentation.chance import Range, uniform
from foveate.augmentation.mixing import Mix, MixConfig
from foveate.augmentation.pairs import partner_of, paste
from foveate.data.batch import Batch


class SmoothMix(Mix):
    """A picture seen through a soft Gaussian window, another one around it; the label by the window's mean.

    x = G own + (1 - G) partner's, G = exp(-d^2 / 2 sigma^2) around a uniform point, sigma ~ U(``sigma``), drawn for
    every picture; label weights are the means of what multiplied each picture. So there is no edge that gives the
    mixture away.

    Source: Lee et al., SmoothMix, CVPR workshops 2020. Pictures and masks of the batch are changed in place; the mask
    of the mixture is known where both masks are.
    """

    class Config(MixConfig):
        kind: Literal["smoothmix"] = "smoothmix"
        sigma: Range = (0.25, 0.5)
        """Smallest and largest sigma, as shares of the picture's shorter side."""

        @model_validator(mode="after")
        def _possible(self) -> "SmoothMix.Config":
            if not 0 < self.sigma[0] <= self.sigma[1]:
                raise ValueError("sigma must be above 0, the smaller value first")
            return self

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        like, count = batch.images, len(batch)
        height, width = like.shape[2:]
        sigma = uniform(rng, self.config.sigma, count, like)[:, None] * min(height, width)
        falls = []
        for side in (height, width):
            centre = uniform(rng, (0, side), count, like)[:, None]
            place = torch.arange(side, device=like.device, dtype=like.dtype) + 0.5
            falls.append(torch.exp(-0.5 * ((place - centre) / sigma) ** 2))  # (B, side)
        window = (falls[0][:, :, None] * falls[1][:, None, :])[:, None]
        return paste(batch, partner_of(batch, rng), 1 - window, self.classes)
