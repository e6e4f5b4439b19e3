"""Two pictures blended everywhere: in pixels, through a window, or inside the network."""

import math
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import nn

from foveate.augmentation.chance import Range, uniform, within
from foveate.augmentation.mixing import (
    Counts,
    Mix,
    MixConfig,
    Transform,
    mixed,
    partner_of,
    paste,
)
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress
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
            # The index copies, so nothing is read after it was written.
            values.lerp_(values[partner], 1 - kept)
        return mixed(batch, partner, self.label_share(batch.labels, partner, kept), self.classes)

    def label_share(self, labels: torch.Tensor, partner: torch.Tensor, kept: float) -> torch.Tensor:
        """(B,) what of the label is a picture's own; labels (B,) int64, partner (B,) int64, kept: lambda."""
        return torch.full((len(labels),), kept, device=labels.device)


class Remix(Mixup):
    """Pictures as in mixup; the label of a pair is the rare class's alone where the common one has far more pictures.

        n_own / n_partner >= kappa and lambda < tau          -> the partner's label
        n_own / n_partner <= 1 / kappa and 1 - lambda < tau  -> the own label
        otherwise                                            -> lambda own + (1 - lambda) partner's

    n: training pictures of the class. Source: Chou et al., Remix: Rebalanced Mixup, ECCV 2020 workshops.
    """

    class Config(Mixup.Config):
        kind: Literal["remix"] = "remix"  # type: ignore[assignment]
        kappa: float = Field(default=3.0, ge=1)
        """How many times more pictures the common class has, at least. Trap: below the data's own ratio nothing but
        mixup remains (foveate check tells the counts)."""
        tau: float = Field(default=0.5, ge=0, le=1)
        """Share of the picture below which the common class loses its share of the label."""

    def __init__(self, config: Config, counts: Counts) -> None:
        super().__init__(config, counts)
        self.kappa, self.tau = config.kappa, config.tau
        self.counts = torch.tensor(list(counts), dtype=torch.float32)

    def label_share(self, labels: torch.Tensor, partner: torch.Tensor, kept: float) -> torch.Tensor:
        counts = self.counts.to(labels.device)
        ratio = counts[labels] / counts[labels[partner]].clamp(min=1)
        share = super().label_share(labels, partner, kept)
        if kept < self.tau:
            share[ratio >= self.kappa] = 0.0
        if 1 - kept < self.tau:
            share[ratio <= 1 / self.kappa] = 1.0
        return share


class ManifoldMixup(Mix):
    """Two pictures blended at a layer inside the network, drawn for every batch.

    h = lambda own + (1 - lambda) partner's feature maps at one place drawn from ``layers``; labels alike.

    lambda ~ Beta(alpha, alpha) and one place a batch. Masks are blended too; they are known where both are. Later
    layers see blended maps only, as in the paper.

    Source: Verma et al., Manifold mixup, ICML 2019.
    """

    class Config(MixConfig):
        kind: Literal["manifold_mixup"] = "manifold_mixup"
        alpha: float = Field(default=2.0, gt=0)
        """Of the Beta distribution (2 in the paper)."""
        layers: tuple[str, ...] = Field(default=("input", "early", "middle"), min_length=1)
        """Where, all equally likely: "input", or taps as in ``foveate.models.layer_names``."""

    def __init__(self, config: Config, counts: Counts) -> None:
        super().__init__(config, counts)
        self._input = Mixup(Mixup.Config(alpha=config.alpha), counts)

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        layer = self.config.layers[int(rng.integers(len(self.config.layers)))]
        if layer == "input":
            return self._input(batch, model, rng, Progress())
        kept = float(rng.beta(self.config.alpha, self.config.alpha))
        partner = partner_of(batch, rng)
        batch.masks.lerp_(batch.masks[partner], 1 - kept)
        edits = {**batch.edits, layer: partial(_blend, partner=partner, kept=kept)}
        return mixed(batch, partner, kept, self.classes).replace(edits=edits)


def _blend(maps: torch.Tensor, partner: torch.Tensor, kept: float) -> torch.Tensor:
    return maps.lerp(maps[partner], 1 - kept)


class SamplePairing(Transform):
    """The mean of two pictures, with the label of the first; for epochs at a time, between which it rests.

    Off at first, then ``on`` epochs on and ``off`` epochs off in turn, off again at last (fine-tuning). In the paper
    100 epochs come first, 8 and 2 take turns, and training ends without; of how many epochs was not recovered, so
    ``start`` and ``stop`` are shares of the training, and ours. The mask stays the first picture's, as the label does.

    Source: Inoue, Data augmentation by pairing samples for images classification, 2018 (arXiv 1801.02929). In place.
    """

    class Config(Settings):
        kind: Literal["sample_pairing"] = "sample_pairing"
        start: float = Field(default=0.1, ge=0, le=1)
        """Share of the training that comes first without it."""
        stop: float = Field(default=0.8, ge=0, le=1)
        """Share of the training after which it stays off."""
        on: int = Field(default=8, ge=1, le=100_000)
        """Epochs with it."""
        off: int = Field(default=2, ge=0, le=100_000)
        """Epochs without it after those; of every ``on + off`` epochs, counted from the first of all, the last."""

        @model_validator(mode="after")
        def _ordered(self) -> "SamplePairing.Config":
            if self.start > self.stop:
                raise ValueError(f"start {self.start} comes after stop {self.stop}")
            return self

    def active(self, progress: Progress) -> bool:
        """Whether pictures are paired now."""
        config = self.config
        turn = progress.epoch % (config.on + config.off) < config.on
        return config.start <= progress.training < config.stop and turn

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        if self.active(progress):
            batch.images.lerp_(batch.images[partner_of(batch, rng)], 0.5)
        return batch


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
        sigma: Annotated[Range, within(math.inf)] = (0.25, 0.5)
        """Smallest and largest sigma, as shares of the picture's shorter side."""

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
