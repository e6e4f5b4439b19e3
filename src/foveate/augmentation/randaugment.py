"""RandAugment: a few operations drawn for every picture, all of one strength."""

from typing import Literal

import numpy as np
from pydantic import Field

from foveate.augmentation.operations import Plan, Policy, Space, amounts_of, signs
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress

from torchvision.transforms import v2  # isort: skip  (after the guard, in operations)

SPACE: Space = v2.RandAugment._AUGMENTATION_SPACE
BINS = 31
"""Steps of the magnitude."""


class RandAugment(Policy):
    """A few operations drawn for every picture, all of one magnitude; the label stays.

    The operations and what a magnitude means are torchvision's; pictures are moved bilinearly. With ``ramp`` the
    magnitude grows with training. Source: Cubuk et al., RandAugment, NeurIPS 2020.
    """

    class Config(Settings):
        kind: Literal["randaugment"] = "randaugment"
        operations: int = Field(default=2, ge=1, le=14)
        """Operations for each picture, N of the paper."""
        magnitude: int = Field(default=9, ge=0, le=30)
        """Of 30, M of the paper."""
        ramp: float = Field(default=0.0, ge=0, le=1)
        """Share of the training over which the magnitude grows from 0 (a curriculum); 0: at once."""

    def plan(self, count: int, size: tuple[int, int], rng: np.random.Generator, progress: Progress) -> Plan:
        ramp = self.config.ramp
        grown = min(1.0, progress.training / ramp) if ramp else 1.0
        table, signed = amounts_of(SPACE, BINS, size)
        names = np.array(list(SPACE))
        found = []
        for _ in range(self.config.operations):
            drawn = rng.integers(len(SPACE), size=count)
            amounts = table[drawn, round(self.config.magnitude * grown)] * signs(rng, signed[drawn])
            found.append((names[drawn], amounts))
        return found
