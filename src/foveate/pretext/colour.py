"""Which colour did it have: the picture is shown grey."""

from typing import Literal

import numpy as np
import torch
from numpy.random import Generator
from pydantic import Field

from foveate.data.steps import LUMINANCE
from foveate.pretext.task import Normal, Question, Task, TaskConfig

_TO_OPPONENT = torch.tensor([[0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""I and Q of YIQ: what a colour is beside its brightness."""
HUES = ("red", "magenta", "violet", "blue", "cyan", "green", "yellow-green", "orange")


class Colour(Task):
    """Tell the leading hue of a picture from its grey version: colourisation as classification.

    The mean of the chroma (I and Q of YIQ) of all pixels falls into one of eight sectors, or into "colourless" when it
    is shorter than ``least``. Source of the idea: Zhang, Isola and Efros, Colorful image colorization, ECCV 2016, who
    classify every pixel; one answer for the picture keeps the contract of all tasks here and gives fewer labels.
    """

    class Config(TaskConfig):
        kind: Literal["colour"] = "colour"
        least: float = Field(default=4.0, ge=0)
        """Chroma (0 to 255) below which a picture counts as colourless."""

    own_labels = True
    classes = ("colourless", *HUES)

    def __call__(self, image: torch.Tensor, label: int, rng: Generator, normal: Normal) -> Question:
        """The grey picture, and its hue; ``label`` is not used, the answer lies in the picture."""
        pixels = image.float()
        i, q = (_TO_OPPONENT @ pixels.mean((1, 2))).tolist()
        grey = (torch.tensor(LUMINANCE, dtype=torch.float32)[:, None, None] * pixels).sum(0)
        shown = grey.round().clamp(0, 255).to(torch.uint8).expand(3, -1, -1)
        if np.hypot(i, q) < self.config.least:
            return shown, 0
        sector = int(np.arctan2(q, i) % (2 * np.pi) / (2 * np.pi) * len(HUES)) % len(HUES)
        return shown, 1 + sector
