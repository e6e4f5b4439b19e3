"""The marks that tell the species apart: one function each, a signed distance on the wing cases.

A mark function takes x (across, 0 = seam) and y (along, 0 = middle of the wing cases, positive towards the
tail) in units of about 1.3 body lengths and returns the distance to the mark's edge in the same unit,
negative inside. The wing cases reach about 0.16 to each side and 0.25 in each direction along.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MarkFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _disc(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return np.sqrt(x * x + y * y) - radius


def _twin_spots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _disc(np.abs(x) - 0.078, y, 0.052)


def _band(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(y + 1.1 * x * x - 0.01) - 0.038, np.abs(x) - 0.155)


def _stripe(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _disc(x, np.maximum(np.abs(y) - 0.15, 0), 0.034)


def _chevron(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    across = np.abs(x)
    return np.maximum(np.abs(y + 0.065 - 1.05 * across) / 1.45 - 0.031, across - 0.135)


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(_disc(x, y, 0.09)) - 0.027


def _four_dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _disc(np.abs(x) - 0.08, np.abs(y) - 0.11, 0.042)


def _saltire(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    arms = np.minimum(np.abs(x - y), np.abs(x + y)) / 1.41 - 0.027
    return np.maximum(arms, np.maximum(np.abs(x), np.abs(y)) - 0.115)


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    moon = np.maximum(_disc(x, y, 0.105), -_disc(x, y + 0.055, 0.098))
    return np.maximum(moon, -y - 0.02)  # blunt horns, or the border would run on far beyond them


@dataclass(frozen=True)
class Species:
    """One class of the data set; everything but the mark is drawn alike for all."""

    name: str
    """Folder and class name: the epithet of an invented genus, *Pareidolus*."""
    description: str
    mark: MarkFunction


SPECIES: tuple[Species, ...] = (
    Species("bimaculatus", "two round spots", _twin_spots),
    Species("fasciatus", "one band across", _band),
    Species("vittatus", "one stripe along the seam", _stripe),
    Species("sagittatus", "a chevron that points to the head", _chevron),
    Species("annulatus", "a ring", _ring),
    Species("quadripunctatus", "four dots, two at the shoulders and two behind", _four_dots),
    Species("decussatus", "a diagonal cross", _saltire),
    Species("lunatus", "a crescent, open towards the head", _crescent),
)
"""In the order in which ``SyntheticConfig.classes`` takes them."""
