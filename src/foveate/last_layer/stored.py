"""What a last layer is fitted on: features of pictures, as the head receives them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Head:
    """A linear head, logits = features weight' + bias."""

    weight: np.ndarray
    """(C, F) float64."""
    bias: np.ndarray
    """(C,) float64."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(n, F) -> (n, C)."""
        return np.asarray(features @ self.weight.T + self.bias)

    def scaled(self, factor: float) -> "Head":
        """Logits times ``factor``."""
        return Head(self.weight * factor, self.bias * factor)


@dataclass(frozen=True)
class Stored:
    """n labelled pictures."""

    features: np.ndarray
    """(n, F) float64."""
    labels: np.ndarray
    """(n,) int64."""
    subgroups: np.ndarray
    """(n,) int64: class and value of the attribute; -1 where it is unknown or not asked for."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> "Stored":
        """Some of them."""
        return Stored(self.features[index], self.labels[index], self.subgroups[index])

    def halves(self, rng: np.random.Generator) -> tuple["Stored", "Stored"]:
        """Two halves at random, in each of which every class, and every subgroup, has its share."""
        order = rng.permutation(len(self))
        order = order[np.lexsort((self.subgroups[order], self.labels[order]))]
        return self.take(np.sort(order[::2])), self.take(np.sort(order[1::2]))


@dataclass(frozen=True)
class Given:
    """What a last layer is given; pictures are asked about when they are wanted."""

    first: Head
    """The head as training left it."""
    train: Callable[[], Stored]
    validation: Callable[[], Stored]
    swapped: Callable[[int], Stored]
    """Training pictures with other pictures' backgrounds, so many copies of each (``augmentation.background_swap``)."""
    rng: Callable[[str], np.random.Generator]
    """Random numbers of the run for a purpose."""
