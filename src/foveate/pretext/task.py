"""What a pretext task is: it changes a picture and knows the answer, so that a network can learn without labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch

from foveate.core.config import Config


class TaskConfig(Config):
    """Settings every task has; each adds its own and its name as ``kind``."""


@dataclass(frozen=True)
class Normal:
    """How the network's pictures are normalised afterwards."""

    mean: torch.Tensor
    """(3,) in [0, 1]."""
    std: torch.Tensor
    """(3,) in [0, 1]."""


class Task(Protocol):
    """One pretext task: a class with a ``Config`` and these two members.

    - ``classes``: names of the answers, in label order;
    - ``every``: whether a training epoch asks each picture for each answer (else for one, drawn at random).

    A task whose answer lies in the picture itself (its colour) sets ``own_labels = True`` and ignores the label that
    it is asked for. A task with ``pairs = True`` is asked twice about each picture and gives no answer (-1): views 2k
    and 2k + 1 belong together, and its ``objective`` says what is to be learnt. ``head`` and ``augment``, where a task
    has them, are what a recipe takes for it (settings of the head, augmentation steps before the question).
    """

    Config: ClassVar[type[TaskConfig]]
    classes: tuple[str, ...]
    every: bool

    def __call__(
        self, image: torch.Tensor, label: int, rng: np.random.Generator, normal: Normal
    ) -> tuple[torch.Tensor, int]:
        """One question.

        Args:
            image: (3, S, S) uint8; not changed.
            label: the answer that is wanted, an index into ``classes``.
            rng: for everything else that is random; keyed, so the same question comes out the same.
            normal: what will be done to the result.

        Returns:
            (3, S, S), uint8 or float32 in the units of bytes (0 to 255), and the answer.
        """
        ...


def stack(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """(B, 3, S, S); float32 as soon as one picture is."""
    if any(image.is_floating_point() for image in images):
        return torch.stack([image.float() for image in images])
    return torch.stack(list(images))
