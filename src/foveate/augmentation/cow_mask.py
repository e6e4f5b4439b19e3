"""CowMask: irregular blobs, hidden or exchanged with another picture."""

import math
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from foveate.augmentation.chance import Range, log_uniform, noise, uniform, within
from foveate.augmentation.erasing import Erase, EraseConfig
from foveate.augmentation.mixing import Mix, MixConfig, partner_of, paste
from foveate.core.config import Config as Settings
from foveate.data.batch import Batch


def blobs(
    rng: np.random.Generator, like: torch.Tensor, sigma: Range, share: Range
) -> torch.Tensor:  # fmt: skip
    """(B, 1, H, W) bool for pictures ``like`` (B, 3, H, W): normal noise, blurred and cut at a level.

    The Gaussian's sigma, in shares of the shorter side, is log-uniform; the share of True pixels is uniform, up to what
    the finite number of blobs leaves to chance. Drawn at half the resolution, which a blur of 4 pixels allows.
    """
    count, _, height, width = like.shape
    small = (-(-height // 2), -(-width // 2))
    values = noise(rng, (count, *small), like)
    spread = log_uniform(rng, sigma, count, like).mul_(min(small)).clamp_(min=1e-3).view(-1, 1, 1)
    kernels = {side: _kernels(side, spread) for side in set(small)}
    values = kernels[small[0]] @ values @ kernels[small[1]].transpose(1, 2)
    values = F.interpolate(values[:, None], (height, width), mode="bilinear")
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    std = (values.square().mean(dim=(1, 2, 3), keepdim=True) - mean.square()).sqrt()
    wanted = uniform(rng, share, count, like).view(-1, 1, 1, 1)
    return values <= mean + std * 2**0.5 * torch.erfinv(2 * wanted - 1)


def _kernels(side: int, sigma: torch.Tensor) -> torch.Tensor:
    """(B, side, side): Gaussians of sigma (B, 1, 1) pixels around each place; what they blur keeps its variance, also
    at the border."""
    place = torch.arange(side, device=sigma.device, dtype=sigma.dtype)
    kernel = ((place[:, None] - place) / sigma).square_().mul_(-0.5).exp_()
    return kernel.div_(kernel.square().sum(dim=2, keepdim=True).sqrt_())


class _Blobs(Settings):
    sigma: Annotated[Range, within(math.inf)] = (4 / 224, 16 / 224)
    """Smallest and largest sigma of the blur, as shares of the picture's shorter side (4 to 16 pixels of 224)."""
    share: Annotated[Range, within(1, zero=True)] = (0.25, 1.0)
    """Smallest and largest share of the picture that is kept."""


class CowOut(Erase):
    """Irregular blobs are hidden under noise.

    Source: French et al., Milking CowMask for semi-supervised image classification, 2020 (arXiv 2006.12022). There it
    makes the views that a mean teacher is asked to agree on; here it is an augmentation of labelled pictures.
    """

    class Config(EraseConfig, _Blobs):
        kind: Literal["cow_out"] = "cow_out"
        fill: Literal["mean", "noise"] = "noise"
        """What is put there."""

    def holes(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        return ~blobs(rng, batch.images, self.config.sigma, self.config.share)


class CowMix(Mix):
    """Irregular blobs of another picture, the label mixed by area.

    Source: as ``cow_out``; shares 0.2 to 0.8. Masks of the mixture are known where both are. In place.
    """

    class Config(MixConfig, _Blobs):
        kind: Literal["cow_mix"] = "cow_mix"
        share: Annotated[Range, within(1, zero=True)] = (0.2, 0.8)
        """Smallest and largest share of the picture that is the other's."""

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        partner = partner_of(batch, rng)
        return paste(
            batch, partner, blobs(rng, batch.images, self.config.sigma, self.config.share), self.classes
        )
