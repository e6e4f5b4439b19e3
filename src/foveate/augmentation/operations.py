"""The operations of learned and random augmentation policies, each picture with an amount of its own.

Amounts are in torchvision's units, and what policies choose from are torchvision's own tables; pictures lie black on
what they leave, masks move along.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from foveate.augmentation.pairs import Counts
from foveate.augmentation.warp import Matrix, affine, rotation
from foveate.core import torchvision_guard  # noqa: F401  (before torchvision)
from foveate.core.progress import Progress
from foveate.data.batch import Batch

from torchvision.transforms.v2 import functional as tv  # isort: skip

Space = dict[str, tuple[Callable[[int, int, int], torch.Tensor | None], bool]]
"""torchvision's: {operation: ((bins, height, width) -> amounts, whether a sign is drawn)}."""
Plan = list[tuple[np.ndarray, np.ndarray]]
"""Steps one after the other: names of operations (B,) and their amounts (B,)."""

GEOMETRY: dict[str, Callable[[torch.Tensor, tuple[int, int]], Matrix]] = {
    "ShearX": lambda amount, size: (1.0, amount, 0.0, 0.0, 1.0, 0.0),
    "ShearY": lambda amount, size: (1.0, 0.0, 0.0, amount, 1.0, 0.0),
    "TranslateX": lambda amount, size: (1.0, 0.0, -amount.trunc(), 0.0, 1.0, 0.0),
    "TranslateY": lambda amount, size: (1.0, 0.0, 0.0, 0.0, 1.0, -amount.trunc()),
    "Rotate": rotation,
}
"""From amounts (n,) and (H, W) to matrices."""


def posterized(images: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """(n, 3, H, W) uint8 of which ``bits`` (n,) are kept."""
    dropped = (8 - bits.to(torch.int32)).view(-1, 1, 1, 1)
    return torch.bitwise_left_shift(torch.bitwise_right_shift(images.int(), dropped), dropped).to(torch.uint8)


def solarized(images: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """(n, 3, H, W) uint8 with values from ``threshold`` (n,) on inverted."""
    return torch.where(images >= threshold.view(-1, 1, 1, 1), 255 - images, images)


def _from(dull: Callable[..., torch.Tensor]) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """An operation that leads away from a dull version of the picture by 1 + amount."""

    def blend(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
        start = dull(images).float()
        return (start + (images - start) * (1 + amount).view(-1, 1, 1, 1)).clamp_(0, 255).to(torch.uint8)

    return blend


COLOURS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "Identity": lambda images, amount: images,
    "Brightness": _from(torch.zeros_like),
    "Color": _from(lambda images: tv.adjust_saturation(images, 0.0)),
    "Contrast": _from(lambda images: tv.adjust_contrast(images, 0.0)),
    "Sharpness": _from(lambda images: tv.adjust_sharpness(images, 0.0)),
    "Posterize": posterized,
    "Solarize": lambda images, amount: solarized(images, 255 * amount),
    "AutoContrast": lambda images, amount: tv.autocontrast(images),
    "Equalize": lambda images, amount: tv.equalize(images),
    "Invert": lambda images, amount: 255 - images,
}
"""From (n, 3, H, W) uint8 and amounts (n,) to the same."""


def perform(images: torch.Tensor, masks: torch.Tensor, plan: Plan) -> tuple[torch.Tensor, torch.Tensor]:
    """Every picture (B, 3, H, W) uint8 and its mask (B, 1, H, W) float through the steps of the plan; copies."""
    images, masks = images.clone(), masks.clone()
    for names, amounts in plan:
        for name in np.unique(names):
            rows = torch.from_numpy(np.flatnonzero(names == name)).to(images.device)
            amount = torch.from_numpy(amounts[names == name]).to(images.device, torch.float32)
            if name in COLOURS:
                images[rows] = COLOURS[name](images[rows], amount)
            else:
                matrix = GEOMETRY[name](amount, (images.shape[2], images.shape[3]))
                images[rows] = affine(images[rows].float(), matrix).round_().to(torch.uint8)
                masks[rows] = affine(masks[rows], matrix, mode="nearest")
    return images, masks


def amounts_of(space: Space, bins: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(operations, bins) amounts and (operations,) whether a sign is drawn, in the order of the table."""
    found = [function(bins, *size) for function, _ in space.values()]
    table = [np.zeros(bins) if values is None else values.double().numpy() for values in found]
    return np.stack(table), np.array([signed for _, signed in space.values()])


def signs(rng: np.random.Generator, signed: np.ndarray) -> np.ndarray:
    """1 or -1, the latter for half of those that take a sign."""
    return np.where(signed & (rng.random(signed.shape) < 0.5), -1.0, 1.0)


def to_bytes(images: torch.Tensor, model: Any) -> torch.Tensor:
    """Normalised (B, 3, H, W) as uint8."""
    mean, std = (value.to(images).view(1, 3, 1, 1) for value in (model.mean, model.std))
    return ((images * std + mean).clamp(0, 1) * 255).round().to(torch.uint8)


def from_bytes(images: torch.Tensor, model: Any) -> torch.Tensor:
    """The inverse of ``to_bytes``."""
    mean, std = (value.to(images.device).view(1, 3, 1, 1) for value in (model.mean, model.std))
    return (images.float() / 255 - mean) / std


class Policy:
    """Base: a plan drawn for every picture; labels as they are."""

    Config: ClassVar[Any]

    def __init__(self, config: Any, counts: Counts) -> None:
        self.config = config

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        size = (batch.images.shape[2], batch.images.shape[3])
        plan = self.plan(len(batch), size, rng, progress)
        images, masks = perform(to_bytes(batch.images, model), batch.masks, plan)
        batch.images.copy_(from_bytes(images, model))
        return batch.replace(masks=masks)

    def plan(self, count: int, size: tuple[int, int], rng: np.random.Generator, progress: Progress) -> Plan:
        """What is done to ``count`` pictures (H, W) of ``size``."""
        raise NotImplementedError
