"""A change of a picture that nobody sees, made to move its explanation: Ghorbani et al., AAAI 2019."""

import copy

import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.explanation.maps import FLAT, grad_cam, map_gradients
from foveate.explanation.probe import Probe
from foveate.explanation.similarity import highest
from foveate.models.modes import untouched
from foveate.models.second_derivatives import differentiable_twice, unfused_attention

SHARPNESS = 30.0
"""Of the softplus that stands for each ReLU: beta. log(1 + exp(beta x)) / beta is ReLU within 0.023 everywhere."""
SHARE = 0.1
"""Highest places of the map whose sum is driven down."""


def attack(
    model: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    *,
    epsilon: torch.Tensor,
    steps: int = 10,
    layer: str | None = None,
) -> torch.Tensor:
    """Pictures (B, 3, H, W) whose prediction is that of ``images`` and whose map has moved as far as it would.

    Signed gradient steps lower the share of the map that lies on its highest tenth (the paper's top-k attack); each
    value stays within ``epsilon`` of the picture's. Of all steps at which the network itself (not its smooth copy)
    predicts the same class, the one with the lowest share is returned; if there is none, the picture itself.

    The gradient of the map needs second derivatives, which ReLU does not have: in a copy every ReLU is a softplus.

    Args:
        targets: (B,) whose evidence the map shows.
        epsilon: (3,), in units of the normalised picture.
        layer: Grad-CAM at this layer is attacked; None: the gradient at the pixels, |dS/dx| summed over the colours.

    Raises:
        ConfigError: the map does not depend on the picture in a way that can be differentiated.
    """
    smooth = _smooth(model)
    probe, soft = Probe(model), Probe(smooth)
    with untouched(model), untouched(smooth), unfused_attention():
        images = probe.place(images)
        targets = targets.to(probe.device)
        bound = epsilon.view(1, 3, 1, 1).to(images)
        path = soft.resolve(layer, images) if layer is not None else None
        with torch.no_grad():
            said = probe.logits(images).argmax(dim=1)
        before = _map(soft, images.clone().requires_grad_(True), targets, path).detach()
        top = highest(before, max(1, round(SHARE * before.shape[1])))
        best, lowest = images.clone(), torch.full((len(images),), torch.inf, device=images.device)
        moved = images
        for step in range(steps + 1):
            moved = moved.detach().requires_grad_(True)
            values = _map(soft, moved, targets, path)
            share = (values * top).sum(dim=1) / values.sum(dim=1).clamp(min=FLAT)
            with torch.no_grad():
                kept = (probe.logits(moved).argmax(dim=1) == said) & (share < lowest)
                best = torch.where(kept.view(-1, 1, 1, 1), moved, best)
                lowest = torch.where(kept, share, lowest)
            if step == steps:
                break
            gradient = _of_share(share, moved, model)
            # A quarter of the bound a step: a few steps reach it, the rest search within.
            moved = moved - bound / 4 * gradient.sign()
            moved = torch.minimum(torch.maximum(moved, images - bound), images + bound)
    return best.detach()


def _of_share(share: torch.Tensor, moved: torch.Tensor, model: nn.Module) -> torch.Tensor:
    try:
        (gradient,) = torch.autograd.grad(share.sum(), [moved], allow_unused=True)
    except RuntimeError as error:  # an operator without a second derivative
        raise ConfigError(
            f"The maps of {type(model).__name__} cannot be attacked, since they have no second derivative: {error}"
        ) from None
    if gradient is None or not gradient.isfinite().all():
        raise ConfigError(
            f"The maps of {type(model).__name__} cannot be attacked: their gradient at the picture is "
            f"{'absent' if gradient is None else 'not finite'}."
        )
    return gradient


def _smooth(model: nn.Module) -> nn.Module:
    network = copy.deepcopy(model)
    differentiable_twice(network)
    for module in network.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU | nn.ReLU6):
                setattr(module, name, nn.Softplus(beta=SHARPNESS))
            elif getattr(child, "inplace", False) is True:
                child.inplace = False  # type: ignore[assignment]
    return network


def _map(probe: Probe, images: torch.Tensor, targets: torch.Tensor, layer: str | None) -> torch.Tensor:
    """(B, N) not negative, differentiable with respect to ``images``."""
    with torch.enable_grad():
        if layer is None:
            score = probe.logits(images).gather(1, targets[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, [images], create_graph=True)
            return gradient.abs().sum(dim=1).flatten(1)
        logits, _, maps = probe.tapped(images, [layer])
        score = logits.gather(1, targets[:, None]).sum()
        (gradient,) = map_gradients(score, maps, [layer], differentiable=True)
        return grad_cam(maps[layer].float(), gradient.float()).flatten(1)
