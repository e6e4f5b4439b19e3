"""Which colour has the patch: a small black or white square is put into the picture."""

from typing import Literal

import torch
from numpy.random import Generator
from pydantic import Field, model_validator

from foveate.core.errors import DataError
from foveate.pretext.task import Normal, Question, Task, TaskConfig


class Perturbation(Task):
    """Tell whether a square that was put somewhere into the picture is black or white (15-Scene report).

    ``faithful`` is what that report's program does: the square is written after normalisation with the raw values 0
    and 255, and one number serves as row and as column. So "black" is the mean grey, "white" is far beyond what any
    picture holds, and the square lies on the diagonal.
    """

    class Config(TaskConfig):
        kind: Literal["perturbation"] = "perturbation"
        every: bool = True
        """Each picture with both squares in every epoch (twice the work), or with one that is drawn."""
        side: int = Field(default=10, ge=1, le=4096)
        """Side of the square, in pixels of the network's picture."""
        largest: int | None = Field(default=None, ge=1, le=4096)
        """Where given, the side is drawn from ``side`` to this."""
        faithful: bool = False
        """The published program with its two faults, to be compared with."""

        @model_validator(mode="after")
        def _ordered(self) -> "Perturbation.Config":
            if self.largest is not None and self.largest < self.side:
                raise ValueError(f"largest {self.largest} is below side {self.side}")
            return self

    classes = ("black", "white")

    def __call__(self, image: torch.Tensor, label: int, rng: Generator, normal: Normal) -> Question:
        """With a square of 0 or 255 at a uniform place; see ``faithful`` for the other way.

        Raises:
            DataError: the square is larger than the picture.
        """
        size = image.shape[-1]
        side = int(rng.integers(self.config.side, (self.config.largest or self.config.side) + 1))
        if side > size:
            raise DataError(
                f"A square of {side} px does not fit into a picture of {size} px; lower task.side."
            )
        y, x = (int(value) for value in rng.integers(0, size - side + 1, size=2))
        if self.config.faithful:
            x = y
            # Bytes that become exactly 0 and 255 when they are normalised.
            value = (label * 255.0 * normal.std + normal.mean) * 255.0
            changed = image.float().clone()
            changed[:, y : y + side, x : x + side] = value.view(3, 1, 1).to(changed)
            return changed, label
        changed = image.clone()
        changed[:, y : y + side, x : x + side] = 255 * label
        return changed, label
