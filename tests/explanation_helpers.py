"""Networks and comparisons for tests of explainers."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from foveate.core import torchvision_guard  # noqa: F401  (before timm)

import timm  # isort: skip


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """In eval mode, with running statistics, scales and biases as after training; fresh ones would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.2, generator=generator)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 1.5, generator=generator)  # type: ignore[union-attr]
                module.weight.uniform_(0.5, 1.2, generator=generator)
                module.bias.normal_(0, 0.2, generator=generator)
            elif getattr(module, "bias", None) is not None and isinstance(module.bias, torch.Tensor):
                module.bias.normal_(0, 0.1, generator=generator)
    return network.eval()


def network(name: str, seed: int = 0, **kwargs: Any) -> nn.Module:
    """A timm network of 10 classes with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return randomised(timm.create_model(name, num_classes=10, **kwargs), seed)


def pictures(count: int = 2, size: int = 64, seed: int = 0) -> torch.Tensor:
    """Smooth random pictures, (B, 3, size, size), about as wide as normalised ones."""
    coarse = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, share: float = 1e-4) -> None:
    """Within ``share`` of the largest absolute value; and there is something to compare."""
    ours, theirs = ours.detach().double(), theirs.detach().double()
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    most = float(theirs.abs().max())
    assert most > 0
    error = float((ours - theirs).abs().max())
    assert error <= share * most, f"differs by {error / most:.2e} of the largest value"


@contextmanager
def quiet() -> Iterator[None]:
    """Captum warns of every hook that it sets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def out_of_place(model: nn.Module) -> nn.Module:
    """Captum's hooks need it."""
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return model


class Tiny(nn.Module):
    """Convolutions, ReLU, an overlapping max-pool, two linear layers: linear by pieces.

    ``style``: "modules", "in_place", "functional" (no module for any activation) or "reused" (one ReLU for all).
    """

    def __init__(self, style: str = "modules", seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = nn.Conv2d(3, 6, 3, padding=1)
            self.norm = nn.BatchNorm2d(6)
            self.second = nn.Conv2d(6, 8, 3, stride=2)
            self.third = nn.Linear(8, 12)
            self.head = nn.Linear(12, 4)
        self.style = style
        if style == "reused":
            self.relu = nn.ReLU()
        elif style != "functional":
            self.relu1, self.relu2, self.relu3 = (nn.ReLU(inplace=style == "in_place") for _ in range(3))
        if style != "functional":
            self.pool = nn.MaxPool2d(3, 2, 1)
        randomised(self, seed)

    def activate(self, x: torch.Tensor, position: int) -> torch.Tensor:
        if self.style == "functional":
            return [torch.relu(x), x.relu(), functional.relu_(x)][position]
        if self.style == "reused":
            return self.relu(x)
        return [self.relu1, self.relu2, self.relu3][position](x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activate(self.norm(self.first(x)), 0)
        x = functional.max_pool2d(x, 3, 2, 1) if self.style == "functional" else self.pool(x)
        x = self.activate(self.second(x), 1).mean((2, 3))
        return self.head(self.activate(self.third(x), 2))


def slow_energy(small: np.ndarray, mask: np.ndarray) -> float:
    """Bilinear by its formula, then a loop over the pixels."""
    h, w = small.shape
    height, width = mask.shape
    inside = total = 0.0
    for y in range(height):
        for x in range(width):
            v = max((y + 0.5) * h / height - 0.5, 0)
            u = max((x + 0.5) * w / width - 0.5, 0)
            i, j = int(v), int(u)
            i1, j1 = min(i + 1, h - 1), min(j + 1, w - 1)
            fy, fx = v - i, u - j
            top = small[i, j] * (1 - fx) + small[i, j1] * fx
            bottom = small[i1, j] * (1 - fx) + small[i1, j1] * fx
            value = top * (1 - fy) + bottom * fy
            total += value
            inside += value * mask[y, x]
    return inside / total if total > 0 and mask.sum() > 0 else math.nan
