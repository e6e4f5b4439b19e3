"""Small versions of the networks that explanations are compared on, with random weights that are not at rest."""

from functools import cache
from typing import Any

import torch
from torch import nn

import foveate.core.torchvision_guard  # noqa: F401  (before timm)

import timm  # isort: skip

SIZE = 64
NAMES = ("resnet18", "mobilenetv3_small_100", "efficientnet_b0", "vit_tiny_patch16_224")
"""Three kinds of convolutional network and a transformer."""


@cache
def network(name: str, classes: int = 5) -> nn.Module:
    """In eval mode; batch norms have statistics and affine values as after training. Tests must not change it."""
    torch.manual_seed(0)
    kwargs: dict[str, Any] = {"img_size": SIZE} if name.startswith(("vit", "deit", "swin")) else {}
    model = timm.create_model(name, num_classes=classes, **kwargs)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.7, 1.3)
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, 0, 0.1)
    if isinstance(head := model.get_classifier(), nn.Linear):
        nn.init.normal_(head.weight, 0, 0.2)
    return model.eval()


def pictures(count: int = 2, size: int = SIZE, seed: int = 0) -> torch.Tensor:
    """(count, 3, size, size) normalised: a smooth blob on noise."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.4 * torch.randn(count, 3, size, size, generator=generator)
    axis = torch.linspace(-1, 1, size)
    blob = torch.exp(-8 * ((axis[:, None] - 0.3) ** 2 + (axis[None, :] + 0.2) ** 2))
    return images + blob * torch.randn(count, 3, 1, 1, generator=generator)


def tokens_to_map(tokens: torch.Tensor) -> torch.Tensor:
    """(B, 1 + n², K) -> (B, K, n, n), as users of other libraries write it for a ViT."""
    side = round((tokens.shape[1] - 1) ** 0.5)
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side))
