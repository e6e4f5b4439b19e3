"""Which way is up: the picture is turned by 0, 90, 180 or 270 degrees."""

from typing import Literal

import torch
from numpy.random import Generator

from foveate.pretext.task import Normal, Question, Task, TaskConfig


class Rotation(Task):
    """Tell by how much a picture was turned.

    Source: Gidaris, Singh and Komodakis, Unsupervised representation learning by predicting image rotations, ICLR
    2018. The turn comes after all augmentation and is exact (no resampling), so no interpolation gives it away.
    """

    class Config(TaskConfig):
        kind: Literal["rotation"] = "rotation"
        every: bool = True
        """Each picture in all four turns in every epoch (four times the work), or in one that is drawn."""

    classes = ("0 degrees", "90 degrees", "180 degrees", "270 degrees")

    def __call__(self, image: torch.Tensor, label: int, rng: Generator, normal: Normal) -> Question:
        """Turned counter-clockwise by ``label`` quarter turns."""
        return torch.rot90(image, label, (1, 2)), label
