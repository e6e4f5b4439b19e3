"""AugMix: two further views of every picture, each a mixture of short chains of simple operations."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.operations import posterized, solarized, to_bytes
from foveate.augmentation.pairs import Counts
from foveate.augmentation.warp import Matrix, affine, rotation
from foveate.core import torchvision_guard  # noqa: F401  (before torchvision)
from foveate.core.config import Config
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.data.batch import Batch

from torchvision.transforms.v2 import functional as tv  # isort: skip

Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(n, 3, H, W) uint8 and (n,) strengths in (-1, 1), the sign being the direction -> the same, changed."""


class AugMix:
    """Further views of every picture, mixed from the picture and short chains of simple operations.

    view = (1 - m) x + m sum_i w_i chain_i(x), with w ~ Dirichlet(1), m ~ Beta(1, 1) for every view of every picture.
    A chain is one to three operations drawn with replacement from autocontrast, equalize, posterize, rotate, solarize,
    shear and translate; colour, contrast, brightness and sharpness are left out, as they are in the tests of robustness
    that the paper reports. The batch comes back with the plain picture and ``views`` mixtures of each in a row; labels
    are the picture's. Mixtures have no mask: their parts lie at different places.

    Use it with the loss ``jensen_shannon`` (weight 12), and with the classification ``on: first``.

    Source: Hendrycks et al., AugMix, ICLR 2020.
    """

    class Config(Config):
        kind: Literal["augmix"] = "augmix"
        views: int = Field(default=2, ge=1, le=8)
        """Mixtures of each picture, beside the picture itself."""
        severity: float = Field(default=3.0, gt=0.1, le=10)
        """Strength of the operations on a scale to 10, drawn from (0.1, severity) each. 3 on CIFAR, 1 on ImageNet."""
        width: int = Field(default=3, ge=1, le=8)
        """Chains in a mixture."""
        depth: int = Field(default=3, ge=1, le=8)
        """Most operations in a chain."""

    def __init__(self, config: Config, counts: Counts) -> None:
        self.config = config

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        if batch.views != 1:
            raise ConfigError("Two batch transforms make linked views of a picture; leave one of them out.")
        config, count = self.config, len(batch)
        mean, std = (getattr(model, name).to(batch.images).view(1, 3, 1, 1) for name in ("mean", "std"))
        plain = batch.images * std + mean
        chains = self._chains(to_bytes(batch.images, model), rng)  # (B, V, W, 3, H, W)
        weights = rng.dirichlet(np.ones(config.width), (count, config.views))  # (B, V, W)
        share = rng.beta(1.0, 1.0, (count, config.views, 1, 1, 1))
        weighted = torch.einsum(
            "bvw,bvwchs->bvchs", torch.from_numpy(weights).to(plain), chains.to(plain) / 255
        )
        mixed = plain[:, None].lerp(weighted, torch.from_numpy(share).to(plain))
        images = torch.cat([batch.images[:, None], (mixed - mean) / std], dim=1).flatten(0, 1)
        times = 1 + config.views
        first = torch.arange(count * times, device=plain.device) % times == 0
        return batch.replace(
            images=images,
            targets=batch.targets.repeat_interleave(times, 0),
            masks=batch.masks.repeat_interleave(times, 0) * first.view(-1, 1, 1, 1),
            has_mask=batch.has_mask.repeat_interleave(times, 0) & first,
            index=batch.index.repeat_interleave(times, 0),
            views=times,
        )

    def _chains(self, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Every picture (B, 3, H, W) uint8 through V x W chains -> (B, V, W, 3, H, W) uint8."""
        config = self.config
        copies = config.views * config.width
        many = images.repeat_interleave(copies, 0)
        lengths = rng.integers(1, config.depth + 1, len(many))
        for step in range(config.depth):
            chosen = np.where(lengths > step, rng.integers(len(OPERATIONS), size=len(many)), -1)
            level = rng.uniform(0.1, config.severity, len(many)) / 10 * rng.choice([-1, 1], len(many))
            for number, operation in enumerate(OPERATIONS):
                rows = torch.from_numpy(np.flatnonzero(chosen == number)).to(many.device)
                if len(rows):
                    many[rows] = operation(many[rows], torch.from_numpy(level).to(many.device)[rows])
        return many.unflatten(0, (len(images), config.views, config.width))


def autocontrast(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Every channel stretched to 0..255."""
    return tv.autocontrast(images)


def equalize(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Every channel's histogram made flat."""
    return tv.equalize(images)


def posterize(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """4 - int(4 |level|) bits kept."""
    return posterized(images, 4 - (4 * level.abs()).to(torch.int32))


def solarize(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Values from 256 - int(256 |level|) on inverted."""
    return solarized(images, 256 - (256 * level.abs()).to(torch.int32))


def rotate(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """By up to 30 degrees about the centre; positive is counter-clockwise."""
    return _moved(images, rotation(30 * level, (images.shape[2], images.shape[3])))


def shear_x(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """By up to 0.3 along x."""
    return _moved(images, (1, 0.3 * level, 0, 0, 1, 0))


def shear_y(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """By up to 0.3 along y."""
    return _moved(images, (1, 0, 0, 0.3 * level, 1, 0))


def translate_x(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """By up to a third of the width."""
    return _moved(images, (1, 0, level * images.shape[3] / 3, 0, 1, 0))


def translate_y(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """By up to a third of the height."""
    return _moved(images, (1, 0, 0, 0, 1, level * images.shape[2] / 3))


def _moved(images: torch.Tensor, matrix: Matrix) -> torch.Tensor:
    return affine(images.float(), matrix).round().to(torch.uint8)


OPERATIONS: tuple[Operation, ...] = (
    autocontrast, equalize, posterize, rotate, solarize, shear_x, shear_y, translate_x, translate_y
)  # fmt: skip
