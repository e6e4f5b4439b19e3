"""One picture: ground, scattered bits, shadow, animal, camera."""

from typing import NamedTuple

import numpy as np
from pydantic import Field, model_validator

from foveate.core.config import Config
from foveate.data.synthetic.drawing import Light, cast_shadow, lit, pixels, rgb, rods
from foveate.data.synthetic.grounds import draw_ground
from foveate.data.synthetic.insects import Beetle
from foveate.data.synthetic.marks import SPECIES, Species

_BITS = ("#4b3521", "#80633f", "#b09a70", "#5d6b2c", "#6b4028", "#8f8a78")


class SyntheticConfig(Config):
    """The embedded data set."""

    classes: int = Field(6, ge=2, le=len(SPECIES))
    """Number of species, and of backgrounds."""
    train: int = Field(80, ge=1, le=100_000)
    """Training pictures a species."""
    val: int = Field(20, ge=0, le=100_000)
    """Validation pictures a species."""
    test: int = Field(50, ge=0, le=100_000)
    """Test pictures a species."""
    size: int = Field(96, ge=32, le=1024)
    """Side of the pictures, pixels."""
    tie: float = Field(0.95, ge=0, le=1)
    """Chance that a training picture stands on its species' own background; else any other, evenly."""
    val_tie: float | None = Field(None, ge=0, le=1)
    """The same for validation pictures; none = as ``tie``, because they come from the same biased source.
    Test pictures are never tied: each background is equally likely for every species."""
    object_scale: tuple[float, float] = (0.56, 0.74)
    """Smallest and largest body length, head to tail, as a share of the picture's side."""
    turn: float = Field(20.0, ge=0, le=180)
    """Largest turn of the body away from head-up, degrees."""
    clutter: float = Field(3.0, ge=0, le=30)
    """Mean number of seeds and twigs that lie about."""
    seed: int = Field(0, ge=0)
    """Key of every random choice."""

    @model_validator(mode="after")
    def _check_scale(self) -> "SyntheticConfig":
        low, high = self.object_scale
        if not 0.2 <= low <= high <= 0.9:
            raise ValueError(f"object_scale must rise within 0.2 to 0.9, not {low} to {high}")
        return self


class Picture(NamedTuple):
    """A drawn picture and what is known about it; n is its side."""

    image: np.ndarray
    """(n, n, 3) uint8."""
    mask: np.ndarray
    """(n, n) uint8, 255 = animal with legs and feelers, without its shadow."""
    mark: np.ndarray
    """(n, n) uint8, 255 = the mark that tells the species; part of ``mask``."""


def draw_picture(
    species: Species, background: str, rng: np.random.Generator, config: SyntheticConfig
) -> Picture:
    """Draw one animal on one ground of ``BACKGROUNDS``.

    Two species drawn from equal generators differ in the pixels of their marks only, two backgrounds not in the animal.
    """
    light = Light.sample(rng)
    beetle = Beetle(rng, light, config.size, config.object_scale, config.turn)
    ground = draw_ground(background, rng, light, config.size)
    _scatter(ground, rng, light, config.clutter)
    colour, alpha, mark = beetle.draw(species)
    unit = beetle.length * config.size
    blur = unit * (0.010 + 0.034 * light.softness)
    cast_shadow(ground, alpha, light, 0.105 * unit, blur, 0.85 - 0.3 * light.softness)
    cast_shadow(ground, alpha, light, 0, 0.02 * unit, 0.35)  # the tight dark one around the body
    image = _photographed(ground * (1 - alpha) + colour, light, rng)
    return Picture(image, (alpha > 0.34).astype(np.uint8) * 255, mark.astype(np.uint8) * 255)


def _photographed(image: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Exposure, the lamp's colour, vignette and noise of a camera: (3, n, n) float -> (n, n, 3) uint8."""
    spot = 2 * pixels(image.shape[1]) / image.shape[1] - (1 + 1j)
    lx, ly, _ = light.direction
    falloff = 1 + 0.07 * (spot.real * lx + spot.imag * ly) - 0.05 * np.abs(spot) ** 2
    tint = 1 + rng.uniform(-1, 1) * np.array([0.07, 0.01, -0.09], np.float32)[:, None, None]
    noise = 0.008 * rng.standard_normal(image.shape, dtype=np.float32)
    image = np.clip(image * falloff * (rng.uniform(0.86, 1.14) * tint) + noise, 0, None)
    image = np.where(image > 0.8, 0.8 + 0.2 * np.tanh(5 * image - 4), image)  # highlights roll off as on film
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def _scatter(ground: np.ndarray, rng: np.random.Generator, light: Light, clutter: float) -> None:
    """Lay seeds and twigs with their shadows on ``ground`` (3, n, n), in place."""
    size = ground.shape[1]
    for _ in range(rng.poisson(clutter)):
        middle, turn = complex(*rng.uniform(0, size, 2)), complex(np.exp(1j * rng.uniform(0, np.pi)))
        length, radius = (0.04, 0.012) if rng.random() < 0.6 else (0.20, 0.006)
        half, radius = turn * length * size * rng.uniform(0.3, 0.7), radius * size * rng.uniform(0.7, 1.3)
        coverage, height = rods(size, [((middle - half, middle + half), (radius, 0.35 * radius))])
        cast_shadow(ground, coverage, light, 1.2 * radius, 0.5 * radius, 0.5)
        ground += (lit(rgb(_BITS[rng.integers(len(_BITS))]), height, light) - ground) * coverage
