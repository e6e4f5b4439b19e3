"""Where is the second patch: two neighbouring parts of the picture, side by side."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from pydantic import Field

from foveate.core.errors import DataError
from foveate.pretext.task import Normal, Question, Task, TaskConfig

PLACES = (
    ("above left", -1, -1), ("above", -1, 0), ("above right", -1, 1), ("left", 0, -1),
    ("right", 0, 1), ("below left", 1, -1), ("below", 1, 0), ("below right", 1, 1),
)  # fmt: skip


class Location(Task):
    """Tell on which of eight sides of the first patch the second one lies.

    The first patch, from the middle part of the picture, is shown left and its neighbour right, each enlarged to half
    the width; the rest is grey. Between the two lies a gap, and both are moved at random, so that no line that goes on
    gives the answer. Source: Doersch, Gupta and Efros, Unsupervised visual representation learning by context
    prediction, ICCV 2015. There the patches go through two copies of the network; here one network sees both in one
    picture, so that what it has learnt can be passed on as it is.
    """

    class Config(TaskConfig):
        kind: Literal["location"] = "location"
        every: bool = False
        """Each picture with all eight neighbours in every epoch, or with one that is drawn."""
        patch: float = Field(default=0.25, gt=0, le=1 / 3)
        """Side of a patch, as a share of the picture's."""
        gap: float = Field(default=0.5, ge=0, le=1)
        """Space between the patches, as a share of a patch's side; each is moved by up to half of it."""

    classes = tuple(name for name, _, _ in PLACES)

    def __call__(self, image: torch.Tensor, label: int, rng: Generator, normal: Normal) -> Question:
        """Two patches beside each other.

        Raises:
            DataError: the picture is too small, or patch and gap do not fit into it three times.
        """
        size = image.shape[-1]
        side = round(self.config.patch * size)
        gap = round(self.config.gap * side)
        step, slack = side + gap, gap // 2
        room = size - 3 * side - 2 * gap
        if side < 4 or room < 0:
            raise DataError(
                f"Three patches of {side} px with gaps of {gap} px do not fit into {size} px; "
                "lower task.patch or task.gap."
            )
        # The corner of the nine places first, so that the middle one has all its neighbours.
        y, x = (int(v) + step for v in rng.integers(0, room + 1, size=2))
        _, down, right = PLACES[label]
        shifts = rng.integers(-slack, slack + 1, size=4) if slack else np.zeros(4, dtype=np.int64)
        corners = (
            (y + int(shifts[0]), x + int(shifts[1])),
            (y + down * step + int(shifts[2]), x + right * step + int(shifts[3])),
        )
        half = size // 2
        shown = torch.full_like(image, 128)
        for k, (top, left) in enumerate(corners):
            top, left = (min(max(v, 0), size - side) for v in (top, left))
            piece = image[:, top : top + side, left : left + side]
            large = F.interpolate(piece[None], (half, half), mode="bilinear", antialias=True)[0]
            shown[:, half // 2 : half // 2 + half, k * half : (k + 1) * half] = large
        return shown, label
