"""The object before backgrounds that are drawn: one colour, or a simple pattern."""

from typing import Literal

import numpy as np
import torch

from foveate.core import config
from foveate.core.rng import numpy_generator
from foveate.evaluation.evaluators.variants import SEED, OtherBackgrounds

COLOURS = {
    "black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255),
    "yellow": (255, 255, 0), "magenta": (255, 0, 255), "cyan": (0, 255, 255),
}  # fmt: skip
PATTERNS = ("stripes", "checks", "patches")


class PlainColours(OtherBackgrounds):
    """Accuracy before black, white and six strong colours. (Before grey: ``backgrounds``.)"""

    class Config(config.Config):
        kind: Literal["plain_colours"] = "plain_colours"

    def behind(self, path: str, side: int) -> dict[str, torch.Tensor]:
        return {
            name: torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1) for name, colour in COLOURS.items()
        }


class Textures(OtherBackgrounds):
    """Accuracy before stripes, checks and patches of random colours, drawn for each picture."""

    class Config(config.Config):
        kind: Literal["textures"] = "textures"

    def behind(self, path: str, side: int) -> dict[str, torch.Tensor]:
        return {name: texture(name, path, side) for name in PATTERNS}


def texture(pattern: str, path: str, side: int) -> torch.Tensor:
    """(3, side, side) uint8; whole numbers only, so that every machine draws the same."""
    rng = numpy_generator(SEED, "texture", pattern, path)
    cells = int(rng.integers(4, 17))  # across the picture
    y, x = np.mgrid[:side, :side]
    if pattern == "patches":
        colours = rng.integers(0, 256, size=(cells, cells, 3), dtype=np.uint8)
        drawn = colours[y * cells // side, x * cells // side]
    else:
        colours = rng.integers(0, 256, size=(2, 3), dtype=np.uint8)
        across, down = rng.integers(1, 4, size=2) * rng.choice((-1, 1), size=2)
        first = (across * x + down * y) * cells // (2 * side)
        drawn = colours[(first if pattern == "stripes" else x * cells // side + y * cells // side) % 2]
    return torch.from_numpy(np.ascontiguousarray(drawn.transpose(2, 0, 1)))
