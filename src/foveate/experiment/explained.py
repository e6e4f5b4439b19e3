"""One picture as one run sees it: maps by method and layer, and how they lie over the picture."""

from dataclasses import dataclass

import numpy as np
import torch

from foveate.core.errors import ConfigError
from foveate.data.square import Fit, unfit
from foveate.explanation.explain import scaled
from foveate.explanation.explainer import Explainer


@dataclass(frozen=True)
class Column:
    """A method at a layer."""

    method: Explainer
    layer: str
    """As it was asked for; "" for a method that explains pixels."""

    @property
    def key(self) -> str:
        """The name of its maps: ``method@layer``, or ``method``."""
        return f"{self.method.kind}@{self.layer}" if self.layer else self.method.kind


@dataclass(frozen=True)
class Frame:
    """How a network's square lies over a picture."""

    width: int
    """Of the upright picture in pixels."""
    height: int
    fit: Fit
    side: int
    """Of the square that the network sees, in pixels."""


@dataclass(frozen=True)
class Explained:
    """One picture as one run sees it."""

    path: str
    """Below the folder that all pictures share."""
    frame: Frame
    label: str | None
    """The true class where it is known."""
    prediction: str
    probability: float
    """Of the predicted class, without test-time augmentation."""
    target: str
    """The class that the maps explain."""
    target_probability: float
    maps: dict[str, np.ndarray]
    """{Column.key: raw values (h, w) float32, at the method's own resolution over the network's square}."""
    columns: tuple[Column, ...]
    evidence: str

    def over(self, key: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """The map of a column laid over the picture; see ``lay_over``.

        Raises:
            ConfigError: there is no such map.
        """
        column = next((column for column in self.columns if column.key == key), None)
        if column is None:
            raise ConfigError(f"There is no map '{key}'; there are {', '.join(self.maps)}.")
        return lay_over(self.maps[key], column, self.frame, self.evidence, size)


def lay_over(
    raw: np.ndarray, column: Column, frame: Frame, evidence: str, size: tuple[int, int] | None = None
) -> np.ndarray:
    """A raw map (h, w) over the original picture: (height, width) float32 in [0, 1], scaled as by ``foveate.explain``.

    Args:
        size: (width, height) of the result, the picture's shape at any scale; None: the picture's own.

    What the network did not see (fit="crop") is NaN.
    """
    square = scaled(torch.from_numpy(raw)[None], (frame.side, frame.side), evidence, column.method.signed)[0]
    picture = frame.width, frame.height
    return unfit(square.numpy(), picture, frame.fit, size or picture, side=frame.side)
