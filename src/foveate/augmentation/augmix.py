"""AugMix: two further views of every picture, each a mixture of short chains of simple operations."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.mixing import Transform
from foveate.augmentation.operations import Operation, by_bytes, from_bytes, posterized, solarized, to_bytes
from foveate.augmentation.warp import PIECE, affine, rotation
from foveate.core import torchvision_guard  # noqa: F401  (before torchvision)
from foveate.core.config import Config as Settings
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.data.batch import Batch

from torchvision.transforms.v2 import functional as tv  # isort: skip


class AugMix(Transform):
    """Further views of every picture, mixed from the picture and short chains of simple operations.

    view = (1 - m) x + m sum_i w_i chain_i(x), with w ~ Dirichlet(1), m ~ Beta(1, 1) for every view of every picture.
    A chain is one to three operations drawn with replacement from autocontrast, equalize, posterize, rotate, solarize,
    shear and translate; colour, contrast, brightness and sharpness are left out, as they are in the tests of robustness
    that the paper reports. The batch comes back with the plain picture and ``views`` mixtures of each in a row; labels
    are the picture's. Mixtures have no mask: their parts lie at different places.

    Use it with the loss ``jensen_shannon`` (weight 12), and with the classification ``on: first``.

    Source: Hendrycks et al., AugMix, ICLR 2020.
    """

    class Config(Settings):
        kind: Literal["augmix"] = "augmix"
        views: int = Field(default=2, ge=1, le=8)
        """Mixtures of each picture, beside the picture itself."""
        severity: float = Field(default=3.0, gt=0.1, le=10)
        """Strength of the operations on a scale to 10, drawn from (0.1, severity) each. 3 on CIFAR, 1 on ImageNet."""
        width: int = Field(default=3, ge=1, le=8)
        """Chains in a mixture."""
        depth: int = Field(default=3, ge=1, le=8)
        """Most operations in a chain."""

    makes_views = True

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        if batch.views != 1:
            raise ConfigError("Two batch transforms make linked views of a picture; leave one of them out.")
        config, count = self.config, len(batch)
        copies, times = config.views * config.width, 1 + config.views
        plan = self._plan(count * copies, rng)
        weights = rng.dirichlet(np.ones(config.width), (count, config.views))  # (B, V, W)
        share = rng.beta(1.0, 1.0, (count, config.views, 1, 1, 1))
        images = batch.images.new_empty(count, times, *batch.images.shape[1:])
        for k in range(0, count, PIECE):
            own, part, many = (
                batch.images[k : k + PIECE],
                slice(k, k + PIECE),
                slice(k * copies, (k + PIECE) * copies),
            )
            chains = to_bytes(own.repeat_interleave(copies, 0), model)
            for chosen, level in plan:
                for number, operation in enumerate(OPERATIONS.values()):
                    rows = torch.from_numpy(np.flatnonzero(chosen[many] == number)).to(own.device)
                    if len(rows):
                        amount = torch.from_numpy(level[many]).to(own)[rows]
                        chains[rows] = operation(chains.index_select(0, rows), amount)
            chains = from_bytes(chains, model).unflatten(0, (len(own), config.views, config.width))
            mixed = torch.einsum("bvw,bvwchs->bvchs", torch.from_numpy(weights[part]).to(own), chains)
            images[part, 0] = own
            images[part, 1:] = own[:, None].lerp(mixed, torch.from_numpy(share[part]).to(own))
        first = torch.arange(count * times, device=images.device) % times == 0
        return batch.replace(
            images=images.flatten(0, 1),
            targets=batch.targets.repeat_interleave(times, 0),
            masks=batch.masks.repeat_interleave(times, 0) * first.view(-1, 1, 1, 1),
            has_mask=batch.has_mask.repeat_interleave(times, 0) & first,
            index=batch.index.repeat_interleave(times, 0),
            views=times,
        )

    def _plan(self, count: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        """Step by step, for every chain: the number of its operation, -1 where it has ended, and its strength."""
        lengths = rng.integers(1, self.config.depth + 1, count)
        plan = []
        for step in range(self.config.depth):
            chosen = np.where(lengths > step, rng.integers(len(OPERATIONS), size=count), -1)
            level = rng.uniform(0.1, self.config.severity, count) / 10 * rng.choice([-1, 1], count)
            plan.append((chosen, level))
        return plan


def _moved(images: torch.Tensor, *matrix: torch.Tensor | float) -> torch.Tensor:
    return affine(images, matrix).round_()


OPERATIONS: dict[str, Operation] = {
    "autocontrast": by_bytes(tv.autocontrast),
    "equalize": by_bytes(tv.equalize),
    "posterize": lambda images, level: posterized(images, 4 - (4 * level.abs()).trunc()),
    "solarize": lambda images, level: solarized(images, 256 - (256 * level.abs()).trunc()),
    "rotate": lambda images, level: _moved(images, *rotation(30 * level, (images.shape[2], images.shape[3]))),
    "shear_x": lambda images, level: _moved(images, 1, 0.3 * level, 0, 0, 1, 0),
    "shear_y": lambda images, level: _moved(images, 1, 0, 0, 0.3 * level, 1, 0),
    "translate_x": lambda images, level: _moved(images, 1, 0, level * images.shape[3] / 3, 0, 1, 0),
    "translate_y": lambda images, level: _moved(images, 1, 0, 0, 0, 1, level * images.shape[2] / 3),
}
"""Levels are strengths in (-1, 1), the sign being the direction: of them 4 |level| bits fewer than 4, values from 256
(1 - |level|) on inverted, 30 degrees, 0.3 of a side, a third of a side."""
