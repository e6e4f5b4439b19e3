"""What all maps share: scale and size, Grad-CAM's formula and class maps at taps; and how scores of maps are called.

Differentiable throughout. Losses read class maps off the output of a training step; evaluation and reports ask a
network for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn import functional

from foveate.core.errors import ConfigError
from foveate.models.modes import evaluating
from foveate.models.output import Output

FLAT = 1e-5
"""A map that varies by less than this share of its largest value is constant: what is left is rounding."""


@dataclass(frozen=True)
class MapScore:
    """One number for each picture and map: a row of every table of scores."""

    name: str
    """In files."""
    title: str
    """In tables."""
    better: Literal["higher", "lower", "neither"] = "higher"
    span: tuple[float, float] | None = (0.0, 1.0)
    """Its smallest and largest possible value; None: no bounds."""
    swept: bool = False
    """Whether it is measured at several thresholds, (B, T), of which the best one of a whole data set counts."""


def min_max(maps: torch.Tensor) -> torch.Tensor:
    """Each map (B, h, w) stretched to [0, 1]; a constant map becomes 0 and gets no gradient."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    varies = high - low > FLAT * torch.maximum(high.abs(), low.abs())
    return torch.where(varies, (maps - low) / torch.where(varies, high - low, 1.0), 0.0)


def upsample(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(B, h, w) -> (B, H, W) float32, bilinear, pixel centres aligned as areas (align_corners=False)."""
    if maps.shape[1:] == size:
        return maps.float()
    large = functional.interpolate(maps[:, None].float(), size=size, mode="bilinear", align_corners=False)
    return large[:, 0]


def full(x: torch.Tensor) -> torch.Tensor:
    """At least single precision: sums over places and channels lose too much in half."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def grad_cam(features: torch.Tensor, gradients: torch.Tensor, *, signed: bool = False) -> torch.Tensor:
    """ReLU(sum_k a_k A^k) with a_k the mean over places of dS/dA^k: (B, K, h, w) twice -> (B, h, w) >= 0; ``signed``:
    without the ReLU, evidence against the class being negative.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017.
    """
    maps = (gradients.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1)
    return maps if signed else maps.relu()


def map_gradients(
    score: torch.Tensor, maps: Mapping[str, torch.Tensor], layers: Sequence[str], *, word: str = "layer",
    differentiable: bool = False,
) -> list[torch.Tensor]:  # fmt: skip
    """d score / d map at each layer, (B, K, h, w), in at least single precision; ``differentiable``: with a graph.
    ``word``: what a layer is called in messages.

    Raises:
        ConfigError: the score does not depend on a layer.
    """
    able = [layer for layer in layers if score.requires_grad and maps[layer].requires_grad]
    wanted = [maps[layer] for layer in able]
    found = torch.autograd.grad(score, wanted, create_graph=differentiable, allow_unused=True) if able else ()
    gradients = dict(zip(able, found, strict=True))
    for layer in layers:
        if gradients.get(layer) is None:
            raise ConfigError(
                f"The prediction does not depend on {word} '{layer}'; choose one before the classifier."
            )
    return [full(gradients[layer]) for layer in layers]


def tap_gradients(
    output: Output, targets: torch.Tensor, taps: Sequence[str], *, differentiable: bool = True
) -> list[torch.Tensor]:
    """d(logit of the class) / d(tap) for each tap, (B, K, h, w), with a graph of its own unless not ``differentiable``.

    ``targets``: (B,) int64, or (B, C) float: the logits' mean with these weights.

    Raises:
        ConfigError: the logits do not depend on a tap, or the tap has no graph.
    """
    if targets.is_floating_point():
        score = (output.local * targets).sum()
    else:
        score = output.local.gather(1, targets[:, None]).sum()
    differentiable = differentiable and torch.is_grad_enabled()
    return map_gradients(score, output.taps, taps, word="tap", differentiable=differentiable)


def class_maps(
    output: Output, targets: torch.Tensor, taps: Sequence[str], *, signed: bool = False
) -> list[torch.Tensor]:
    """Grad-CAM of the class at each tap, (B, h, w), >= 0 unless ``signed``, not scaled; differentiable.

    Raises:
        ConfigError: the logits do not depend on a tap.
    """
    gradients = tap_gradients(output, targets, taps)
    pairs = zip(taps, gradients, strict=True)
    return [grad_cam(full(output.taps[tap]), gradient, signed=signed) for tap, gradient in pairs]


def class_and_tap_map(
    model: Any, images: torch.Tensor, targets: torch.Tensor, tap: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Class map (Grad-CAM, >= 0) and tap map (mean over the channels), unscaled, (B, h, w) float32 each, from one
    forward and one backward pass. Nothing is left behind: no gradient, no hook, the same mode.

    Args:
        model: a network of ``foveate.models``; its parameters may be frozen.
        images: (B, 3, H, W) prepared.
        targets: (B,) int64 class whose map is wanted.

    Raises:
        ConfigError: the logits do not depend on the tap.
    """
    with evaluating(model), torch.enable_grad():
        # A picture that wants gradients keeps the graph alive through a frozen network.
        output = model(images.detach().clone().requires_grad_(True), taps=(tap,))
        (gradient,) = tap_gradients(output, targets, (tap,), differentiable=False)
    features = full(output.taps[tap].detach())
    return grad_cam(features, gradient), features.mean(1)


def class_map(model: Any, images: torch.Tensor, targets: torch.Tensor, tap: str) -> torch.Tensor:
    """Grad-CAM of ``targets`` (B,) at ``tap``: (B, h, w) float32, not negative."""
    return class_and_tap_map(model, images, targets, tap)[0]
