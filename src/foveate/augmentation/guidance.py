"""Maps that guide augmentations: of any of our explainers, or a method's own; the network stays as it was."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import nn

from foveate.augmentation.pairs import soft_targets
from foveate.core.config import Config
from foveate.data.batch import Batch
from foveate.explanation import EXPLAINERS, explain
from foveate.explanation.explain import build_explainer
from foveate.explanation.maps import upsample
from foveate.explanation.probe import Probe
from foveate.models.modes import untouched

Own = Callable[[nn.Module, Batch], torch.Tensor]
"""(network, batch) -> (B, h, w) float32 >= 0."""


class GuidedConfig(Config):
    """Settings that all guided transforms have."""

    p: float = Field(default=1.0, ge=0, le=1)
    """Probability for each batch."""
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
        small = [max(1, round(side * config.resolution)) for side in size]
        batch = batch.replace(images=F.interpolate(batch.images, small, mode="bilinear", antialias=True))
    if config.explainer is None:
        return upsample(own(model, batch), size).clamp(min=0)
    layer = config.layer if EXPLAINERS[config.explainer].layered else None
    return upsample(explain(model, batch.images, batch.labels, config.explainer, layer), size)


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
        return probe.tapped(images, [layer])[1][layer].float().mean(dim=1).relu()


def loss_gradient(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The norm over channels of the cross-entropy's gradient at each pixel."""
    probe = Probe(model)
    with untouched(probe.model), torch.enable_grad():
        pixels = probe.place(batch.images).detach().requires_grad_()
        logits = probe.logits(pixels.clone())
        loss = F.cross_entropy(logits, soft_targets(batch, logits.shape[1]).to(logits), reduction="sum")
        return torch.autograd.grad(loss, pixels)[0].float().square().mean(dim=1).sqrt()


def spectral_residual(model: nn.Module, batch: Batch) -> torch.Tensor:
    """What stands out of a picture's spectrum; asks no network.

    The log amplitude minus its 3 x 3 mean, with the phases, transformed back, squared and blurred, at 64 x 64. Source:
    Hou & Zhang, Saliency detection: a spectral residual approach, CVPR 2007.
    """
    grey = F.interpolate(
        batch.images.float().mean(dim=1, keepdim=True), (64, 64), mode="bilinear", antialias=True
    )
    spectrum = torch.fft.fft2(grey)
    height = spectrum.abs().clamp(min=1e-8).log()
    mean = F.avg_pool2d(F.pad(height, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    back = torch.fft.ifft2(torch.polar((height - mean).exp(), spectrum.angle())).abs().square()
    kernel = torch.exp(-0.5 * (torch.arange(-8, 9, device=back.device) / 2.5) ** 2)
    kernel = (kernel / kernel.sum()).to(back)
    back = F.conv2d(F.pad(back, (8, 8, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    return F.conv2d(F.pad(back, (0, 0, 8, 8), mode="replicate"), kernel.view(1, 1, -1, 1))[:, 0]


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
