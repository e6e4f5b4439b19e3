"""Test-time augmentation: several views of a picture, whose predictions are averaged as probabilities.

A view takes prepared images (B, 3, H, W) float and returns images of the same shape. A name in ``TTA`` stands
for a tuple of views; one more preset is one more line.

"NAME@SIDE" makes the views of pictures of SIDE pixels and brings them to the network's size afterwards. So a shift of
3 pixels is one of the picture as it was recorded, whatever the network sees (as in the plant-species report, whose
pictures have 96 px and whose network sees 224).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional

from foveate.core.errors import ConfigError

View = Callable[[torch.Tensor], torch.Tensor]


def identity(images: torch.Tensor) -> torch.Tensor:
    """The picture itself."""
    return images


def flip(*axes: int) -> View:
    """Mirror along the axes, 2 = vertical, 3 = horizontal."""
    return lambda images: torch.flip(images, axes)


def shift(down: int, right: int) -> View:
    """Shift by pixels; what leaves on one side comes back on the other (numpy.roll)."""
    return lambda images: torch.roll(images, (down, right), (2, 3))


def rotation(degrees: float, mode: str = "bicubic") -> View:
    """Rotate counter-clockwise about the picture's centre, in pixels also where H differs from W.

    Places outside repeat the nearest border pixel.
    """
    angle = math.radians(degrees)

    def view(images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        cos, sin = math.cos(angle), math.sin(angle)
        # affine_grid maps output to input places, in units of half a side: hence the ratios beside the sines.
        matrix = [[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]
        theta = torch.tensor(matrix, dtype=images.dtype, device=images.device).expand(len(images), 2, 3)
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)

    return view


TTA: dict[str, tuple[View, ...]] = {
    "none": (identity,),
    "flip": (identity, flip(3)),
    "flips": (identity, flip(3), flip(2), flip(2, 3)),
    "shifts": (identity, shift(-3, 0), shift(3, 0), shift(0, -3), shift(0, 3)),
    "rotations": (identity, rotation(-10), rotation(10)),
    # The eight views of the plant-species report (the winners' notebook): shifts are pixels, not degrees.
    "plants8": (
        identity,
        flip(3),
        shift(-3, 0),
        shift(3, 0),
        shift(0, -3),
        shift(0, 3),
        rotation(-10),
        rotation(10),
    ),
}


@dataclass(frozen=True)
class Plan:
    """What a name asks for."""

    views: tuple[View, ...]
    side: int | None
    """Side in px of the pictures that the views are made of; None: the network's."""


def parse_tta(name: str) -> Plan:
    """The views of "NAME" or "NAME@SIDE".

    Raises:
        ConfigError: no such preset, or the side is no number of pixels.
    """
    preset, at, side = name.partition("@")
    if preset not in TTA:
        raise ConfigError(f"There is no test-time augmentation '{preset}'; choose one of {', '.join(TTA)}.")
    if at and not (side.isdecimal() and int(side) >= 8):
        raise ConfigError(f"Test-time augmentation '{name}': after @ comes a side of 8 pixels or more.")
    return Plan(TTA[preset], int(side) if at else None)


def views(
    name: str, images: torch.Tensor, size: int | None = None, resample: str = "bilinear"
) -> Iterator[torch.Tensor]:
    """Each view of prepared images (B, 3, H, W), one after the other (only one is held in memory).

    Args:
        name: see ``parse_tta``; the images have the side that it asks for.
        size: side in px that the network sees; None: that of the images.
        resample: bilinear or bicubic, as pictures are resized; with antialias.

    Raises:
        ConfigError: no such preset.
    """
    plan = parse_tta(name)
    if size in (None, images.shape[-1]):
        return (view(images) for view in plan.views)
    return (
        functional.interpolate(view(images), (size, size), mode=resample, antialias=True)
        for view in plan.views
    )
