"""Maps that guide augmentations: of any of our explainers, or a method's own; the network stays as it was."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import nn

from foveate.augmentation.mixing import MixConfig, soft_targets
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.explanation import EXPLAINERS, explain
from foveate.explanation.explain import build_explainer
from foveate.explanation.maps import upsample
from foveate.explanation.probe import Probe, original
from foveate.models.folded import folded_once
from foveate.models.modes import untouched
from foveate.models.networks import Network

RADII = (0.03, 0.05, 0.08, 0.12, 0.2, 0.3)
"""Of the squares in ``contrast``, as shares of the shorter side."""
CONTRAST_SIDE = 112
"""Shorter side in pixels at which contrast is measured, at most."""

SMALLEST = 8
"""Shorter side in pixels of pictures that are explained."""

Own = Callable[[nn.Module, Batch], torch.Tensor]
"""(network, batch) -> (B, h, w) float32 >= 0."""


class GuidedConfig(MixConfig):
    """Settings that all guided transforms have."""

    explainer: str | None = None
    """An explanation method (``foveate list explainers``) whose map of the picture's class guides; None: the map that
    the authors used, or what stands for it here (see the method)."""
    layer: str = "last"
    """Where the explainer works, if it works at a layer."""
    resolution: float = Field(default=1.0, gt=0, le=1)
    """Side of the pictures that are explained, as a share of their own: 0.5 costs a quarter. Only for networks that
    take any size."""

    @field_validator("explainer")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            build_explainer(value, {})
        return value


def guide(config: GuidedConfig, own: Own, model: nn.Module, batch: Batch) -> torch.Tensor:
    """(B, H, W) float32 >= 0: the map of the settings, laid over the pictures.

    The network is asked in evaluation mode and put back as it was: modes, gradients, hooks, random states.
    """
    size = (batch.images.shape[2], batch.images.shape[3])
    if config.resolution < 1:
        small = [round(side * config.resolution) for side in size]
        if min(small) < SMALLEST:
            raise ConfigError(
                f"A resolution of {config.resolution:g} leaves {small[0]} x {small[1]} of {size[0]} x {size[1]} pixels "
                f"to explain, and {SMALLEST} are the least; set a larger one."
            )
        batch = batch.replace(images=F.interpolate(batch.images, small, mode="bilinear", antialias=True))
    if config.explainer is None:
        model = model if own is contrast else _quick(model, batch)
        return upsample(own(model, batch), size).clamp(min=0)
    explainer = EXPLAINERS[config.explainer]
    # A layer by its path may be one that folding changes; relevance depends on how a network is written.
    if explainer.in_place and config.layer == "last":
        model = _quick(model, batch)
    layer = config.layer if explainer.layered else None
    return upsample(explain(model, batch.images, batch.labels, config.explainer, layer), size)


def _quick(model: nn.Module, batch: Batch) -> nn.Module:
    """A copy of our networks, of the weights as they are now, that is sooner through forward and backward."""
    network = original(model)
    return folded_once(network, batch.images.shape[3]) if isinstance(network, Network) else model


def class_map(model: nn.Module, batch: Batch) -> torch.Tensor:
    """CAM of the label's class, which a network with one linear layer on pooled maps has."""
    return explain(model, batch.images, batch.labels, "cam")


def gradient(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The largest |d logit / dx| of a pixel's channels, for the label's class."""
    return explain(model, batch.images, batch.labels, "gradient")


def activation(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The mean over channels of the last feature map."""
    probe = Probe(model)
    with untouched(probe.model), torch.no_grad():
        images = probe.place(batch.images)
        layer = probe.resolve("last", images)
        return probe.tapped(images, [layer])[2][layer].float().mean(dim=1).relu()


def loss_gradient(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The norm over channels of the cross-entropy's gradient at each pixel."""
    return input_gradient(model, batch).square().mean(dim=1).sqrt()


def input_gradient(model: nn.Module, batch: Batch) -> torch.Tensor:
    """(B, 3, H, W) of the sum of the cross-entropies."""
    probe = Probe(model)
    with untouched(probe.model), torch.enable_grad():
        pixels = probe.place(batch.images).detach().requires_grad_()
        logits = probe.logits(pixels.clone())
        loss = F.cross_entropy(logits, soft_targets(batch, logits.shape[1]).to(logits), reduction="sum")
        return torch.autograd.grad(loss, pixels)[0].float()


def contrast(model: nn.Module, batch: Batch) -> torch.Tensor:
    """How far a pixel's grey is from the means around it, in squares of six sizes; asks no network.

    Source: Montabone & Soto, Human detection using a mobile platform and novel features derived from a visual saliency
    mechanism, 2010, which OpenCV calls fine-grained saliency.
    """
    grey = batch.images.float().mean(dim=1, keepdim=True)
    if (shorter := min(grey.shape[2:])) > CONTRAST_SIDE:
        small = [round(side * CONTRAST_SIDE / shorter) for side in grey.shape[2:]]
        grey = F.interpolate(grey, small, mode="bilinear", antialias=True)
    grey, total = grey.double()[:, 0], torch.zeros_like(grey[:, 0])
    radii = {round(share * min(grey.shape[1:])) for share in RADII} - {0}
    down = _Windows(grey, 1, max(radii, default=0))
    for radius in radii:
        total += (grey - _Windows(down.mean(radius), 2, radius).mean(radius)).abs()
    return total


class _Windows:
    """Means of the values (B, H, W) up to a radius away along ``dim``, of those that there are."""

    def __init__(self, values: torch.Tensor, dim: int, most: int) -> None:
        """``most``: the largest radius."""
        self.dim, self.most, self.side = dim, most, values.shape[dim]
        sums = values.cumsum(dim)
        first, last = sums.narrow(dim, 0, 1), sums.narrow(dim, -1, 1)
        sides = [most + 1 if axis == dim else -1 for axis in range(3)]
        self.sums = torch.cat([torch.zeros_like(first).expand(sides), sums, last.expand(sides)], dim)

    def mean(self, radius: int) -> torch.Tensor:
        """(B, H, W)."""
        place = torch.arange(self.side, device=self.sums.device)
        count = (place + radius).clamp(max=self.side - 1) - (place - radius).clamp(min=0) + 1
        high, low = (
            self.sums.narrow(self.dim, start, self.side)
            for start in (self.most + 1 + radius, self.most - radius)
        )
        return (high - low).mul_(count.to(high).reciprocal_().view(-1, *[1] * (2 - self.dim)))


def peaks(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of each map's maximum, (B,) int64; the first of several."""
    place = maps.flatten(1).argmax(dim=1)
    return place // maps.shape[2], place % maps.shape[2]


def same_class(labels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """(B,) int64: for each picture another of its class, all in a random ring; itself where there is none."""
    known = labels.cpu().numpy()
    order = np.lexsort((rng.random(len(known)), known))
    following = np.roll(order, -1)
    last = np.append(known[order][1:] != known[order][:-1], True)  # of its class, in this order
    first = np.maximum.accumulate(np.where(np.roll(last, 1), np.arange(len(known)), 0))
    following[last] = order[first[last]]
    partner = np.empty_like(order)
    partner[order] = following
    return torch.from_numpy(partner).to(labels.device)
