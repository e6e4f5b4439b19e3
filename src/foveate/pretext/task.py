"""What a pretext task is: it changes a picture and knows the answer, so that a network can learn without labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from numpy.random import Generator

from foveate.core.config import Config


class TaskConfig(Config):
    """Settings every task has; each adds its own and its name as ``kind``."""


Question = tuple[torch.Tensor, int]
"""A picture (3, S, S), and the answer."""


@dataclass(frozen=True)
class Normal:
    """How the network's pictures are normalised afterwards."""

    mean: torch.Tensor
    """(3,) in [0, 1]."""
    std: torch.Tensor
    """(3,) in [0, 1]."""


class Task:
    """One pretext task: a class with a ``Config``, names of answers and a call."""

    Config: ClassVar[type[TaskConfig]]
    classes: tuple[str, ...] = ()
    """Names of the answers, in label order."""
    own_labels: ClassVar[bool] = False
    """The answer lies in the picture itself (its colour); the label that is asked for is ignored."""
    pairs: ClassVar[bool] = False
    """It is asked twice about each picture and gives no answer (-1): views 2k and 2k + 1 belong together."""
    objective: ClassVar[dict[str, Any] | None] = None
    """What a recipe takes for it: what is to be learnt of pairs, settings of the head, augmentation steps before the
    question (None: the recipe's own)."""
    head: ClassVar[dict[str, Any]] = {}
    augment: ClassVar[Sequence[dict[str, Any]] | None] = None

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def every(self) -> bool:
        """Whether a training epoch asks each picture for each answer (else for one, drawn at random)."""
        return bool(getattr(self.config, "every", False))

    def __call__(self, image: torch.Tensor, label: int, rng: Generator, normal: Normal) -> Question:
        """One question.

        Args:
            image: (3, S, S) uint8; not changed.
            label: the answer that is wanted, an index into ``classes``.
            rng: for everything else that is random; keyed, so the same question comes out the same.
            normal: what will be done to the result.

        Returns:
            (3, S, S), uint8 or float32 in the units of bytes (0 to 255), and the answer.
        """
        raise NotImplementedError
