"""The marks that tell the species apart: one function each, a signed distance on the wing cases."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy import abs, hypot, maximum


class Species(NamedTuple):
    """One class of the data set; everything but the mark is drawn alike for all."""

    name: str
    """Folder and class name: the epithet of an invented genus, *Pareidolus*."""
    description: str
    mark: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """x (across, 0 = seam) and y (along, 0 = middle of the wing cases, positive towards the tail), in units of about
    1.3 body lengths -> distance to the mark's edge in the same unit, negative inside. The wing cases reach about
    0.16 to each side and 0.25 in each direction along."""


def _band(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return maximum(abs(y + 1.1 * x * x - 0.01) - 0.038, abs(x) - 0.155)


def _chevron(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return maximum(abs(y + 0.065 - 1.05 * abs(x)) / 1.45 - 0.031, abs(x) - 0.135)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return maximum(abs(abs(x) - abs(y)) / 1.41 - 0.027, maximum(abs(x), abs(y)) - 0.115)


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    moon = maximum(hypot(x, y) - 0.105, 0.098 - hypot(x, y + 0.055))
    return maximum(moon, -y - 0.02)  # blunt horns, or the border would run on far beyond them


SPECIES = (
    Species("bimaculatus", "two round spots", lambda x, y: hypot(abs(x) - 0.078, y) - 0.052),
    Species("fasciatus", "one band across", _band),
    Species(
        "vittatus", "a stripe along the seam", lambda x, y: hypot(x, maximum(abs(y), 0.15) - 0.15) - 0.034
    ),
    Species("sagittatus", "a chevron that points to the head", _chevron),
    Species("annulatus", "a ring", lambda x, y: abs(hypot(x, y) - 0.09) - 0.027),
    Species("quadripunctatus", "four dots", lambda x, y: hypot(abs(x) - 0.08, abs(y) - 0.11) - 0.042),
    Species("decussatus", "a diagonal cross", _cross),
    Species("lunatus", "a crescent, open towards the head", _crescent),
)
"""In the order in which ``SyntheticConfig.classes`` takes them."""
