"""Test-time augmentation: several views of a picture, whose predictions are averaged as probabilities.

A view takes prepared images (B, 3, H, W) float and returns images of the same shape. A name in ``TTA`` stands
for a tuple of views; one more preset is one more line.
"""

import math
from collections.abc import Callable, Iterator

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


def views(name: str, images: torch.Tensor) -> Iterator[torch.Tensor]:
    """Each view of prepared images (B, 3, H, W), one after the other (only one is held in memory).

    Raises:
        ConfigError: no such preset.
    """
    if name not in TTA:
        raise ConfigError(f"There is no test-time augmentation '{name}'; choose one of {', '.join(TTA)}.")
    return (view(images) for view in TTA[name])
