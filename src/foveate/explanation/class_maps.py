"""Where a network looks at a tap: Grad-CAM of a class, and the mean over the channels.

The losses read it off the output of a training step, evaluation and reports ask a network for it.
"""

from collections.abc import Sequence
from typing import Any

import torch

from foveate.core.errors import ConfigError
from foveate.explanation.maps import grad_cam
from foveate.models.modes import evaluating
from foveate.models.output import Output


def full(x: torch.Tensor) -> torch.Tensor:
    """At least single precision: sums over places and channels lose too much in half."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


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
    able = [tap for tap in taps if score.requires_grad and output.taps[tap].requires_grad]
    found = (
        torch.autograd.grad(
            score,
            [output.taps[tap] for tap in able],
            create_graph=differentiable and torch.is_grad_enabled(),
            allow_unused=True,
        )
        if able
        else ()
    )
    gradients = dict(zip(able, found, strict=True))
    for tap in taps:
        if gradients.get(tap) is None:
            raise ConfigError(
                f"The prediction cannot be differentiated with respect to tap '{tap}'; choose a tap before the "
                "classifier that the prediction depends on."
            )
    return [full(gradients[tap]) for tap in taps]


def class_maps(output: Output, targets: torch.Tensor, taps: Sequence[str]) -> list[torch.Tensor]:
    """Grad-CAM of the class at each tap, (B, h, w), >= 0, not scaled; differentiable.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017: ReLU(sum_k a_k A^k), a_k = mean over places of dS_y / dA^k.

    Raises:
        ConfigError: the logits do not depend on a tap.
    """
    gradients = tap_gradients(output, targets, taps)
    return [grad_cam(full(output.taps[tap]), gradient) for tap, gradient in zip(taps, gradients, strict=True)]


def class_and_tap_map(
    model: Any, images: torch.Tensor, targets: torch.Tensor, tap: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Class map and tap map, (B, h, w) float32 each, from one forward and one backward pass.

    The class map is Grad-CAM (``grad_cam``), not negative; the tap map is the mean over the channels, unscaled. Nothing
    is left behind: no gradient, no hook, the same mode.

    Args:
        model: a network of ``foveate.models``; its parameters may be frozen.
        images: (B, 3, H, W) prepared.
        targets: (B,) int64 class whose map is wanted.
        tap: name of a feature map.

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
