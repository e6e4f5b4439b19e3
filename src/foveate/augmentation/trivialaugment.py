"""TrivialAugment: one operation of any strength for every picture."""

from typing import Literal

import numpy as np

from foveate.augmentation.operations import Plan, Policy, Space, amounts_of, signs
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress

from torchvision.transforms import v2  # isort: skip  (after the guard, in operations)

SPACE: Space = v2.TrivialAugmentWide._AUGMENTATION_SPACE
BINS = 31


class TrivialAugment(Policy):
    """One operation of uniform strength for every picture, nothing to tune; the label stays.

    The operations and their range ("wide") are torchvision's; pictures are moved bilinearly. Source: Müller & Hutter,
    TrivialAugment, ICCV 2021.
    """

    class Config(Settings):
        kind: Literal["trivialaugment"] = "trivialaugment"

    def plan(self, count: int, size: tuple[int, int], rng: np.random.Generator, progress: Progress) -> Plan:
        table, signed = amounts_of(SPACE, BINS, size)
        drawn = rng.integers(len(SPACE), size=count)
        amounts = table[drawn, rng.integers(BINS, size=count)] * signs(rng, signed[drawn])
        return [(np.array(list(SPACE))[drawn], amounts)]
