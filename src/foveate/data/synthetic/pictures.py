"""One picture: ground, scattered bits, shadow, animal, camera."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from foveate.core.errors import ConfigError
from foveate.data.synthetic.backgrounds import Sheet, cut_ground, draw_sheet
from foveate.data.synthetic.drawing import Light, Stroke, rgb, rod_shade, stroke_field
from foveate.data.synthetic.insects import Specimen, draw_insect
from foveate.data.synthetic.marks import SPECIES

_BITS = tuple(rgb(code) for code in ("#4b3521", "#80633f", "#b09a70", "#5d6b2c", "#6b4028", "#8f8a78"))


@dataclass(frozen=True)
class Picture:
    """A drawn picture and what is known about it; n is its side."""

    image: np.ndarray
    """(n, n, 3) uint8."""
    mask: np.ndarray
    """(n, n) uint8, 255 = animal with legs and feelers, without its shadow."""
    mark: np.ndarray
    """(n, n) uint8, 255 = the mark that tells the species; part of ``mask``."""


def draw_picture(
    species: str,
    background: str,
    rng: np.random.Generator,
    size: int,
    *,
    sheet: Sheet | None = None,
    scale: tuple[float, float] = (0.56, 0.74),
    turn: float = 20.0,
    clutter: float = 3.0,
) -> Picture:
    """Draw one animal on one ground.

    Neither ``species`` nor the mark touches ``rng``: two species drawn from equal generators differ in the
    pixels of their marks only.

    Args:
        species: a name in ``SPECIES``.
        background: a name in ``BACKGROUNDS``.
        rng: the only source of chance.
        size: side in pixels.
        sheet: a larger texture of that background to cut from; a fresh one is drawn without it.
        scale: range of the body's length in picture sides.
        turn: largest turn of the body away from head-up, degrees.
        clutter: mean number of bits (seeds, twigs) lying on the ground.

    Raises:
        ConfigError: unknown species or background.
    """
    kinds = {kind.name: kind for kind in SPECIES}
    if species not in kinds:
        raise ConfigError(f"There is no species '{species}'; choose one of {', '.join(kinds)}.")
    light = Light.sample(rng)
    specimen = Specimen.sample(rng, scale, turn)
    ground = cut_ground(sheet or draw_sheet(background, rng, size, span=1.6), rng, light, size)
    _scatter(ground, rng, light, clutter)
    noise = 0.008 * rng.standard_normal((size, size, 3), dtype=np.float32)

    insect = draw_insect(kinds[species], specimen, light, size)
    ground *= (1 - _shadow(insect.alpha, specimen, light))[..., None]
    image = ground * (1 - insect.alpha[..., None]) + insect.colour
    image = image * (light.exposure * _falloff(light, size))[..., None] * light.tint + noise
    image = np.clip(image, 0, None)
    image = np.where(
        image > 0.8, 0.8 + 0.2 * np.tanh((image - 0.8) / 0.2), image
    )  # highlights roll off as on film
    return Picture(
        image=np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8),
        mask=insect.mask.astype(np.uint8) * 255,
        mark=insect.mark.astype(np.uint8) * 255,
    )


def _shadow(alpha: np.ndarray, specimen: Specimen, light: Light) -> np.ndarray:
    """(n, n) in [0, 1]: a shadow cast away from the lamp and a tight dark one around the body."""
    unit = specimen.length * len(alpha)
    lx, ly, lz = light.direction
    reach = 0.105 * unit / max(lz, 0.3)
    cast = ndimage.gaussian_filter(alpha, unit * (0.010 + 0.034 * light.softness))
    cast = ndimage.shift(cast, (-ly * reach, -lx * reach), order=1, mode="constant")
    contact = ndimage.gaussian_filter(alpha, unit * 0.02)
    return np.clip((0.85 - 0.3 * light.softness) * cast + 0.35 * contact, 0, 0.9)


def _falloff(light: Light, size: int) -> np.ndarray:
    """(n, n): a little brighter towards the lamp, a little darker in the corners."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    lx, ly, _ = light.direction
    return 1 + 0.07 * (line * lx + line[:, None] * ly) - 0.05 * (line**2 + line[:, None] ** 2)


def _scatter(ground: np.ndarray, rng: np.random.Generator, light: Light, clutter: float) -> None:
    """Lay seeds and twigs with their shadows on ``ground`` (n, n, 3), in place."""
    size = len(ground)
    for _ in range(rng.poisson(clutter)):
        (x, y), angle, kind = rng.uniform(0, size, 2), rng.uniform(0, np.pi), rng.random()
        length, radius = (0.04, 0.012) if kind < 0.6 else (0.20, 0.006)
        length, radius = (length * size * rng.uniform(0.6, 1.4), radius * size * rng.uniform(0.7, 1.3))
        colour = np.array(_BITS[rng.integers(len(_BITS))], np.float32)
        dx, dy = 0.5 * length * np.cos(angle), 0.5 * length * np.sin(angle)
        stroke = Stroke((x - dx, y - dy), (x + dx, y + dy), (radius, 0.35 * radius))
        lx, ly, _ = light.direction
        drop = Stroke(
            (x - dx - 1.5 * radius * lx, y - dy - 1.5 * radius * ly),
            (x + dx - 1.5 * radius * lx, y + dy - 1.5 * radius * ly),
            (1.4 * radius, radius),
        )
        window, coverage, _, _ = stroke_field([drop], size)
        ground[window] *= (1 - 0.45 * coverage)[..., None]
        window, coverage, nx, ny = stroke_field([stroke], size)
        ground[window] += (colour * rod_shade(nx, ny, light)[..., None] - ground[window]) * coverage[
            ..., None
        ]
