"""The operations of learned and random augmentation policies, each picture with an amount of its own.

Amounts are in torchvision's units, and what policies choose from are torchvision's own tables; pictures lie black on
what they leave, masks move along. Pictures are (n, 3, H, W) float with the whole values 0 to 255.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from foveate.augmentation.mixing import Transform
from foveate.augmentation.warp import PIECE, Matrix, places, rotation, sampled
from foveate.core import torchvision_guard  # noqa: F401  (before torchvision)
from foveate.core.progress import Progress
from foveate.data.batch import Batch

from torchvision.transforms.v2 import functional as tv  # isort: skip

Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(n, 3, H, W) and (n,) amounts -> the same, changed; in place if it likes."""
Space = dict[str, tuple[Callable[[int, int, int], torch.Tensor | None], bool]]
"""torchvision's: {operation: ((bins, height, width) -> amounts, whether a sign is drawn)}."""
Plan = list[tuple[np.ndarray, np.ndarray]]
"""Steps one after the other: names of operations (B,) and their amounts (B,)."""

GEOMETRY: dict[str, Callable[[torch.Tensor, tuple[int, int]], Matrix]] = {
    "ShearX": lambda amount, size: (1.0, amount, 0.0, 0.0, 1.0, 0.0),
    "ShearY": lambda amount, size: (1.0, 0.0, 0.0, amount, 1.0, 0.0),
    "Rotate": rotation,
}
"""From amounts (n,) and (H, W) to matrices."""
SHIFTS = {"TranslateX": 3, "TranslateY": 2}
"""Moved by whole pixels along these dimensions."""


def posterized(images: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """``bits`` (n,) of every value are kept."""
    step = torch.exp2(8 - bits.to(images)).view(-1, 1, 1, 1)
    return images.div_(step).floor_().mul_(step)


def solarized(images: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Values from ``threshold`` (n,) on are inverted."""
    return (255 - 2 * images).mul_(images >= threshold.view(-1, 1, 1, 1)).add_(images)


def by_bytes(function: Callable[[torch.Tensor], torch.Tensor]) -> Operation:
    """An operation of torchvision's that needs no amount."""
    return lambda images, amount: function(images.to(torch.uint8)).to(images)


def _from(dull: Callable[[torch.Tensor], torch.Tensor]) -> Operation:
    """An operation that leads away from a dull version of the picture by 1 + amount."""

    def blend(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
        start, factor = dull(images), (1 + amount).view(-1, 1, 1, 1)
        return images.sub_(start).mul_(factor).add_(start).clamp_(0, 255).floor_()

    return blend


def _grey(images: torch.Tensor) -> torch.Tensor:
    share = images.new_tensor([0.2989, 0.587, 0.114])
    return (share @ images.flatten(2)).view(-1, 1, *images.shape[2:]).floor_()


def _smoothed(images: torch.Tensor) -> torch.Tensor:
    """(5 own + the 8 around) / 13, rounded; the border as it is."""
    found = images.clone()
    lines = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    around = lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:]
    found[:, :, 1:-1, 1:-1] = around.add_(images[:, :, 1:-1, 1:-1], alpha=4).div_(13).round_()
    return found


COLOURS: dict[str, Operation] = {
    "Identity": lambda images, amount: images,
    "Brightness": _from(torch.zeros_like),
    "Color": _from(_grey),
    "Contrast": _from(lambda images: _grey(images).mean(dim=(1, 2, 3), keepdim=True)),
    "Sharpness": _from(_smoothed),
    "Posterize": posterized,
    "Solarize": lambda images, amount: solarized(images, 255 * amount),
    "AutoContrast": by_bytes(tv.autocontrast),
    "Equalize": by_bytes(tv.equalize),
    "Invert": lambda images, amount: 255 - images,
}


def shifted(values: torch.Tensor, pixels: int, dim: int) -> torch.Tensor:
    """Moved along ``dim``, 0 where nothing was."""
    found, side = torch.zeros_like(values), values.shape[dim]
    pixels = min(max(pixels, -side), side)
    length = side - abs(pixels)
    found.narrow(dim, max(pixels, 0), length).copy_(values.narrow(dim, max(-pixels, 0), length))
    return found


def perform(images: torch.Tensor, masks: torch.Tensor, plan: Plan) -> None:
    """Every picture (B, 3, H, W) and its mask (B, 1, H, W) through the steps of the plan, in place."""
    size = (images.shape[2], images.shape[3])
    for names, amounts in plan:
        for name in np.unique(names[names != "Identity"]):
            acts = names == name
            for amount in np.unique(np.trunc(amounts[acts])) if name in SHIFTS else ():
                rows = torch.from_numpy(np.flatnonzero(acts & (np.trunc(amounts) == amount))).to(
                    images.device
                )
                for values in (images, masks):
                    values[rows] = shifted(values.index_select(0, rows), int(amount), SHIFTS[name])
            rows = torch.from_numpy(np.flatnonzero(acts)).to(images.device)
            strengths = torch.from_numpy(amounts[acts]).to(images)
            for part, strength in zip(rows.split(PIECE), strengths.split(PIECE), strict=True):
                if name in COLOURS:
                    images[part] = COLOURS[name](images.index_select(0, part), strength)
                elif name in GEOMETRY:
                    there = places(GEOMETRY[name](strength, size), len(part), size, images)
                    images[part] = sampled(images.index_select(0, part), there).round_()
                    masks[part] = sampled(masks[part], there, mode="nearest")


def signs(rng: np.random.Generator, signed: np.ndarray) -> np.ndarray:
    """1 or -1, the latter for half of those that take a sign."""
    return np.where(signed & (rng.random(signed.shape) < 0.5), -1.0, 1.0)


def to_bytes(images: torch.Tensor, model: Any) -> torch.Tensor:
    """Normalised (B, 3, H, W) as whole values 0 to 255, in place."""
    mean, std = (255 * value.to(images).view(1, 3, 1, 1) for value in (model.mean, model.std))
    return images.mul_(std).add_(mean).round_().clamp_(0, 255)


def from_bytes(images: torch.Tensor, model: Any) -> torch.Tensor:
    """The inverse of ``to_bytes``, in place."""
    mean, std = (255 * value.to(images).view(1, 3, 1, 1) for value in (model.mean, model.std))
    return images.sub_(mean).div_(std)


class Policy(Transform):
    """Base: a plan drawn for every picture; labels as they are."""

    space: ClassVar[Space]
    bins: ClassVar[int]
    """Steps of the strength."""

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        size = (batch.images.shape[2], batch.images.shape[3])
        plan = self.plan(len(batch), size, rng, progress)
        perform(to_bytes(batch.images, model), batch.masks, plan)
        from_bytes(batch.images, model)
        return batch

    def amounts(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """(operations, bins) amounts and (operations,) whether a sign is drawn, in the order of the table."""
        found = [function(self.bins, *size) for function, _ in self.space.values()]
        table = [np.zeros(self.bins) if values is None else values.double().numpy() for values in found]
        return np.stack(table), np.array([signed for _, signed in self.space.values()])

    def plan(self, count: int, size: tuple[int, int], rng: np.random.Generator, progress: Progress) -> Plan:
        """What is done to ``count`` pictures (H, W) of ``size``."""
        raise NotImplementedError
