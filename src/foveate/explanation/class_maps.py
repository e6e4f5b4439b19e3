"""Where a network looks at a tap: Grad-CAM of a class, and the mean over the channels."""

from typing import Any

import torch

from foveate.core.errors import ConfigError
from foveate.explanation.maps import grad_cam
from foveate.models.modes import evaluating


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
        score = output.local.float().gather(1, targets.view(-1, 1)).sum()
        (gradient,) = torch.autograd.grad(score, [output.taps[tap]], allow_unused=True)
    if gradient is None:
        raise ConfigError(
            f"The prediction does not depend on tap '{tap}'; choose a tap before the classifier."
        )
    features = output.taps[tap].detach().float()
    return grad_cam(features, gradient.float()), features.mean(1)


def class_map(model: Any, images: torch.Tensor, targets: torch.Tensor, tap: str) -> torch.Tensor:
    """Grad-CAM of ``targets`` (B,) at ``tap``: (B, h, w) float32, not negative."""
    return class_and_tap_map(model, images, targets, tap)[0]
