"""Policies: operations drawn for every picture, at random or as a search found them."""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from foveate.augmentation.mixing import Counts
from foveate.augmentation.operations import Plan, Policy, signs
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress

from torchvision.transforms import v2  # isort: skip  (after the guard, in operations)


class RandAugment(Policy):
    """A few operations drawn for every picture, all of one magnitude; the label stays.

    The operations and what a magnitude means are torchvision's; pictures are moved bilinearly. With ``ramp`` the
    magnitude grows with training. Source: Cubuk et al., RandAugment, NeurIPS 2020.
    """

    space, bins = v2.RandAugment._AUGMENTATION_SPACE, 31

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
        table, signed = self.amounts(size)
        names = np.array(list(self.space))
        found = []
        for _ in range(self.config.operations):
            drawn = rng.integers(len(self.space), size=count)
            amounts = table[drawn, round(self.config.magnitude * grown)] * signs(rng, signed[drawn])
            found.append((names[drawn], amounts))
        return found


class TrivialAugment(Policy):
    """One operation of uniform strength for every picture, nothing to tune; the label stays.

    The operations and their range ("wide") are torchvision's; pictures are moved bilinearly. Source: Müller & Hutter,
    TrivialAugment, ICCV 2021.
    """

    space, bins = v2.TrivialAugmentWide._AUGMENTATION_SPACE, 31

    class Config(Settings):
        kind: Literal["trivialaugment"] = "trivialaugment"

    def plan(self, count: int, size: tuple[int, int], rng: np.random.Generator, progress: Progress) -> Plan:
        table, signed = self.amounts(size)
        drawn = rng.integers(len(self.space), size=count)
        amounts = table[drawn, rng.integers(self.bins, size=count)] * signs(rng, signed[drawn])
        return [(np.array(list(self.space))[drawn], amounts)]


class AutoAugment(Policy):
    """One of 25 pairs of operations for every picture, found on ImageNet, CIFAR-10 or SVHN; the label stays.

    Each of the two has a probability and a strength. The pairs are torchvision's; pictures are moved bilinearly.
    Source: Cubuk et al., AutoAugment, CVPR 2019.
    """

    space, bins = v2.AutoAugment._AUGMENTATION_SPACE, 10

    class Config(Settings):
        kind: Literal["autoaugment"] = "autoaugment"
        policy: Literal["imagenet", "cifar10", "svhn"] = "imagenet"
        """What the pairs were found on."""

    def __init__(self, config: Config, counts: Counts) -> None:
        super().__init__(config, counts)
        pairs: Any = v2.AutoAugment(v2.AutoAugmentPolicy(config.policy))._policies
        self.names = np.array([[step[0] for step in pair] for pair in pairs])  # (25, 2)
        self.probability = np.array([[step[1] for step in pair] for pair in pairs])
        self.strengths = np.array([[step[2] or 0 for step in pair] for pair in pairs])

    def plan(self, count: int, size: tuple[int, int], rng: np.random.Generator, progress: Progress) -> Plan:
        table, signed = self.amounts(size)
        place = {name: k for k, name in enumerate(self.space)}
        drawn = rng.integers(len(self.names), size=count)
        found = []
        for step in range(self.names.shape[1]):
            names = self.names[drawn, step]
            operation = np.array([place[name] for name in self.names[:, step]])[drawn]
            amounts = table[operation, self.strengths[drawn, step]] * signs(rng, signed[operation])
            acts = rng.random(count) <= self.probability[drawn, step]
            found.append((np.where(acts, names, "Identity"), amounts))
        return found
