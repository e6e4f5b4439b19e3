"""Drawing pieces shared by animals and grounds. Colours are (3, n, n) or (3, 1, 1) float32 in [0, 1]; points are
complex numbers, x to the right and y (imaginary) down."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy import ndimage

Chain = tuple[Sequence[complex], Sequence[float]]
"""Joints of a limb and the radius at each."""


class Light(NamedTuple):
    """One lamp at infinity and the sky."""

    direction: tuple[float, float, float]
    """Unit vector towards the lamp: x, y, and z towards the viewer."""
    softness: float
    """0 = clear sky and hard shadows, 1 = overcast."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Light":
        """Daylight from the upper half of the picture."""
        azimuth, elevation = np.radians([rng.uniform(-155, -25), rng.uniform(38, 62)])
        x, y = np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth)
        return cls((float(x), float(y), float(np.sin(elevation))), float(rng.random()))


def rgb(code: str) -> np.ndarray:
    """'#rrggbb' as (3, 1, 1)."""
    return np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)[:, None, None]


def mix(low: np.ndarray | str, high: np.ndarray | str, amount: np.ndarray | float) -> np.ndarray:
    """Blend two colours by ``amount``, (n, n) or one number, clipped to [0, 1]."""
    first, second = (rgb(colour) if isinstance(colour, str) else colour for colour in (low, high))
    return np.asarray(first + (second - first) * np.clip(amount, 0, 1), np.float32)


def pixels(size: int) -> np.ndarray:
    """(size, size) complex64, the middles of the pixels of a square."""
    line = np.arange(size, dtype=np.float32) + 0.5
    return (line + 1j * line[:, None]).astype(np.complex64)


def lit(
    colour: np.ndarray | float, height: np.ndarray, light: Light, gloss: float | None = None
) -> np.ndarray:
    """A surface of ``colour`` and ``height`` (n, n), in pixels, under lamp and sky; ``gloss``, 0 to 1: highlights."""
    slope_y, slope_x = np.gradient(height)
    upward = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    lx, ly, lz = light.direction
    facing = np.clip((lz - lx * slope_x - ly * slope_y) * upward, 0, 1)
    shaded = colour * (0.3 + 0.16 * (light.softness + upward) + (0.92 - 0.33 * light.softness) * facing)
    if gloss is not None:
        half = (lz + 1 - lx * slope_x - ly * slope_y) * upward / (2 + 2 * lz) ** 0.5
        broad = np.clip(half, 0, 1) ** 8
        tight = (0.2 + 0.4 * gloss) * (1 - 0.6 * light.softness) * broad**6
        shaded += (0.06 + 0.06 * gloss) * broad + tight
    return np.asarray(shaded, np.float32)


def cast_shadow(
    ground: np.ndarray, alpha: np.ndarray, light: Light, reach: float, blur: float, depth: float
) -> None:
    """Darken ``ground`` in place by the share ``depth`` where a thing of coverage ``alpha`` (n, n) hides the lamp.

    ``reach`` is the height of the thing, ``blur`` the width of the shadow's edge; pixels.
    """
    lx, ly, lz = light.direction
    shadow = ndimage.gaussian_filter(alpha, blur)
    ground *= 1 - depth * ndimage.shift(shadow, (-ly * reach / lz, -lx * reach / lz), order=1)


def rods(size: int, chains: Iterable[Chain]) -> tuple[np.ndarray, np.ndarray]:
    """Chains of round rods, in pixels, on a square: coverage (size, size) in [0, 1], height (size, size) in pixels."""
    inside, height = np.full((size, size), -1, np.float32), np.zeros((size, size), np.float32)
    everywhere = pixels(size)
    parts = (zip(spots, spots[1:], radii, radii[1:], strict=False) for spots, radii in chains)
    for start, end, radius, last in chain.from_iterable(parts):
        margin = max(radius, last) + 1.5
        sides = (sorted((start.imag, end.imag)), sorted((start.real, end.real)))
        window = tuple(slice(max(0, int(a - margin)), max(0, int(b + margin) + 1)) for a, b in sides)
        offset, axis = everywhere[window] - start, end - start
        along = np.clip((offset * axis.conjugate()).real / (abs(axis) ** 2 + 1e-6), 0, 1)
        distance, radii = np.abs(offset - along * axis), radius + (last - radius) * along
        inside[window] = np.maximum(inside[window], radii - distance)
        height[window] = np.maximum(height[window], np.sqrt(np.clip(radii**2 - distance**2, 0, None)))
    return np.clip(inside + 0.5, 0, 1), height
