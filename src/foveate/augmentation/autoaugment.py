"""AutoAugment: pairs of operations that a search found."""

from typing import Any, Literal

import numpy as np

from foveate.augmentation.operations import Plan, Policy, Space, amounts_of, signs
from foveate.augmentation.pairs import Counts
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress

from torchvision.transforms import v2  # isort: skip  (after the guard, in operations)

SPACE: Space = v2.AutoAugment._AUGMENTATION_SPACE
BINS = 10


class AutoAugment(Policy):
    """One of 25 pairs of operations for every picture, found on ImageNet, CIFAR-10 or SVHN; the label stays.

    Each of the two has a probability and a strength. The pairs are torchvision's; pictures are moved bilinearly.
    Source: Cubuk et al., AutoAugment, CVPR 2019.
    """

    class Config(Settings):
        kind: Literal["autoaugment"] = "autoaugment"
        policy: Literal["imagenet", "cifar10", "svhn"] = "imagenet"
        """What the pairs were found on."""

    def __init__(self, config: Config, counts: Counts) -> None:
        super().__init__(config, counts)
        pairs: Any = v2.AutoAugment(v2.AutoAugmentPolicy(config.policy))._policies
        self.names = np.array([[step[0] for step in pair] for pair in pairs])  # (25, 2)
        self.probability = np.array([[step[1] for step in pair] for pair in pairs])
        self.bins = np.array([[step[2] or 0 for step in pair] for pair in pairs])

    def plan(self, count: int, size: tuple[int, int], rng: np.random.Generator, progress: Progress) -> Plan:
        table, signed = amounts_of(SPACE, BINS, size)
        place = {name: k for k, name in enumerate(SPACE)}
        drawn = rng.integers(len(self.names), size=count)
        found = []
        for step in range(self.names.shape[1]):
            names = self.names[drawn, step]
            operation = np.array([place[name] for name in self.names[:, step]])[drawn]
            amounts = table[operation, self.bins[drawn, step]] * signs(rng, signed[operation])
            acts = rng.random(count) <= self.probability[drawn, step]
            found.append((np.where(acts, names, "Identity"), amounts))
        return found
