"""Test-time augmentation: several views of a picture, whose predictions are averaged as probabilities.

A view takes prepared images (B, 3, H, W) float and returns images of the same shape. A new preset: one class here, one
line in ``TTA``.

"NAME@SIDE", or a preset's setting ``side``, makes the views of pictures of SIDE pixels and brings them to the network's
size afterwards. So a shift of 3 pixels is one of the picture as it was recorded, whatever the network sees (as in the
plant-species report, whose pictures have 96 px and whose network sees 224).
"""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch.nn import functional

from foveate.core.config import Config, parse
from foveate.core.errors import ConfigError
from foveate.core.registry import Registry

View = Callable[[torch.Tensor], torch.Tensor]


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
        theta = torch.tensor(matrix, dtype=images.dtype, device=images.device).expand(images.shape[0], 2, 3)
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)

    return view


class Preset(Config):
    """Base: what a class of ``TTA`` is. It has no state, so it is its own settings."""

    kind: str = ""
    side: int | None = Field(default=None, ge=8, le=65_536)
    """Side in px of the pictures that the views are made of; None: the network's."""

    @property
    def others(self) -> tuple[View, ...]:
        """The views beside the picture itself."""
        return ()

    @property
    def views(self) -> tuple[View, ...]:
        """The picture itself first."""
        return (lambda images: images, *self.others)


class Nothing(Preset):
    """The picture alone."""

    kind: Literal["none"] = "none"


class Flip(Preset):
    """The picture and its mirror image."""

    kind: Literal["flip"] = "flip"

    @property
    def others(self) -> tuple[View, ...]:
        return (flip(3),)


class Flips(Preset):
    """The picture mirrored left to right, upside down, and both."""

    kind: Literal["flips"] = "flips"

    @property
    def others(self) -> tuple[View, ...]:
        return (flip(3), flip(2), flip(2, 3))


class Shifts(Preset):
    """The picture moved up, down, left and right."""

    kind: Literal["shifts"] = "shifts"
    pixels: int = Field(default=3, ge=1, le=4096)
    """How far."""

    @property
    def others(self) -> tuple[View, ...]:
        n = self.pixels
        return (shift(-n, 0), shift(n, 0), shift(0, -n), shift(0, n))


class Rotations(Preset):
    """The picture turned to both sides."""

    kind: Literal["rotations"] = "rotations"
    degrees: float = Field(default=10.0, gt=0, le=180)
    """How far."""

    @property
    def others(self) -> tuple[View, ...]:
        return (rotation(-self.degrees), rotation(self.degrees))


class Plants8(Preset):
    """The eight views of the plant-species report (the winners' notebook): mirrored, shifted by 3 px, turned by 10°."""

    kind: Literal["plants8"] = "plants8"

    @property
    def others(self) -> tuple[View, ...]:
        return (flip(3), *Shifts().others, *Rotations().others)


TTA = Registry("test-time augmentation", Nothing, Flip, Flips, Shifts, Rotations, Plants8)

if TYPE_CHECKING:
    AnyTta = Any
else:
    AnyTta = str | TTA.settings  # a string stays one: recorded experiments are known again by it


def parse_tta(given: Any) -> Preset:
    """The preset of "NAME" or "NAME@SIDE", or of settings with their ``kind``.

    Raises:
        ConfigError: no such preset or setting, or the side is no number of pixels.
    """
    if isinstance(given, Preset):
        return given
    if isinstance(given, str):
        kind, at, side = given.partition("@")
        if at and not (side.isdecimal() and int(side) >= 8):
            raise ConfigError(f"Test-time augmentation '{given}': after @ comes a side of 8 pixels or more.")
        given = {"kind": kind, **({"side": int(side)} if at else {})}
    name = str(given.get("kind") if isinstance(given, dict) else given)
    found: Preset = parse(TTA.find(name), given, source=f"test-time augmentation '{name}'")
    return found


def views(
    tta: Any, images: torch.Tensor, size: int | None = None, resample: str = "bilinear"
) -> Iterator[torch.Tensor]:
    """Each view of prepared images (B, 3, H, W), one after the other (only one is held in memory).

    Args:
        tta: see ``parse_tta``; the images have the side that it asks for.
        size: side in px that the network sees; None: that of the images.
        resample: bilinear or bicubic, as pictures are resized; with antialias.

    Raises:
        ConfigError: no such preset.
    """
    found = (view(images) for view in parse_tta(tta).views)
    if size in (None, images.shape[-1]):
        return found
    return (functional.interpolate(view, (size, size), mode=resample, antialias=True) for view in found)
