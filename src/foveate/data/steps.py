"""The steps that augmentations are made of. Each is a configuration that draws one operation for one picture.

An operation is of one of three kinds, so that neighbours can be fused: a matrix on coordinates
(``Geometry``), a matrix on colours (``Colour``), or anything else (``Local``). Coordinates run from -1 to 1
over the picture, x to the right and y down, pixel centres inside (``align_corners=False``); pictures are
square.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import AfterValidator, Field, model_validator

from foveate.core.config import Config
from foveate.core.registry import Registry

LUMINANCE = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601 weights of red, green and blue."""
_GREY = np.tile(LUMINANCE, (3, 1))
_RGB_TO_YIQ = np.array([LUMINANCE, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_YIQ_TO_RGB = np.linalg.inv(_RGB_TO_YIQ)


@dataclass(frozen=True, slots=True)
class Geometry:
    """output(p) = input(matrix p); applied to picture and mask alike."""

    matrix: np.ndarray
    """(3, 3), output coordinates (x, y, 1) to input coordinates."""


@dataclass(frozen=True, slots=True)
class Colour:
    """pixel -> matrix pixel + bias, on RGB in 0..255; ``pivot`` keeps the picture's mean grey where it is."""

    matrix: np.ndarray
    """(3, 3)."""
    bias: float = 0.0
    pivot: bool = False
    """Whether (identity - matrix) times the mean grey is added, as contrast needs."""


@dataclass(frozen=True, slots=True)
class Local:
    """Any other operation on the picture, (3, H, W) float32 in 0..255, and its mask, (1, H, W) uint8 or
    None."""

    apply: Callable[[torch.Tensor, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor | None]]


Operation = Geometry | Colour | Local

Share = Annotated[float, Field(ge=0, le=1)]
_AnyShare = Annotated[float, Field(gt=0, le=1)]
_Positive = Annotated[float, Field(gt=0)]


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the smaller value must come first")
    return pair


_RISING = AfterValidator(_rising)


class Step(Config):
    """One step; ``p`` is the probability that it acts on a picture."""

    kind: str
    p: Share = 1.0
    """Probability of acting."""

    def draw(self, rng: np.random.Generator, size: int) -> Operation:
        """Draw this step's parameters for one picture whose side will be ``size`` pixels."""
        raise NotImplementedError


class HorizontalFlip(Step):
    """Left and right exchanged."""

    kind: Literal["hflip"] = "hflip"
    p: Share = 0.5

    def draw(self, rng: np.random.Generator, size: int) -> Geometry:
        return Geometry(np.diag([-1.0, 1.0, 1.0]))


class VerticalFlip(Step):
    """Top and bottom exchanged."""

    kind: Literal["vflip"] = "vflip"
    p: Share = 0.5

    def draw(self, rng: np.random.Generator, size: int) -> Geometry:
        return Geometry(np.diag([1.0, -1.0, 1.0]))


class QuarterTurn(Step):
    """Turned by 0, 90, 180 or 270 degrees: for pictures without an up (cells, leaves, views from above)."""

    kind: Literal["turn"] = "turn"

    def draw(self, rng: np.random.Generator, size: int) -> Geometry:
        return Geometry(_rotation(int(rng.integers(4)) * 90))


class Rotate(Step):
    """Turned about the centre."""

    kind: Literal["rotate"] = "rotate"
    degrees: float = Field(default=15, ge=0, le=180)
    """Largest angle, either way."""

    def draw(self, rng: np.random.Generator, size: int) -> Geometry:
        return Geometry(_rotation(rng.uniform(-self.degrees, self.degrees)))


class Shift(Step):
    """Moved by whole pixels, so that a shift alone never blurs."""

    kind: Literal["shift"] = "shift"
    x: float = Field(default=0.1, ge=0, lt=1)
    """Largest shift to either side, as a share of the width."""
    y: float = Field(default=0.1, ge=0, lt=1)
    """Largest shift up or down, as a share of the height."""

    def draw(self, rng: np.random.Generator, size: int) -> Geometry:
        matrix = np.eye(3)
        matrix[0, 2] = -2 * round(rng.uniform(-self.x, self.x) * size) / size
        matrix[1, 2] = -2 * round(rng.uniform(-self.y, self.y) * size) / size
        return Geometry(matrix)


class Shear(Step):
    """Slanted along x."""

    kind: Literal["shear"] = "shear"
    degrees: float = Field(default=10, ge=0, lt=80)
    """Largest angle, either way."""

    def draw(self, rng: np.random.Generator, size: int) -> Geometry:
        matrix = np.eye(3)
        matrix[0, 1] = math.tan(math.radians(rng.uniform(-self.degrees, self.degrees)))
        return Geometry(matrix)


class Zoom(Step):
    """Enlarged (above 1) or shrunk (below 1) about the centre."""

    kind: Literal["zoom"] = "zoom"
    low: float = Field(default=0.8, gt=0)
    """Smallest factor."""
    high: float = Field(default=1.25, gt=0)
    """Largest factor."""

    @model_validator(mode="after")
    def _ordered(self) -> "Zoom":
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self

    def draw(self, rng: np.random.Generator, size: int) -> Geometry:
        factor = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return Geometry(np.diag([1 / factor, 1 / factor, 1.0]))


class Crop(Step):
    """A random part of the picture at full size (random resized crop)."""

    kind: Literal["crop"] = "crop"
    scale: Annotated[tuple[_AnyShare, _AnyShare], _RISING] = (0.7, 1.0)
    """Smallest and largest share of the area, in (0, 1]."""
    ratio: Annotated[tuple[_Positive, _Positive], _RISING] = (0.9, 1.1)
    """Smallest and largest width / height of the part."""

    def draw(self, rng: np.random.Generator, size: int) -> Geometry:
        area = rng.uniform(*self.scale)
        ratio = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
        width, height = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
        x, y = rng.uniform(-1, 1) * (1 - width), rng.uniform(-1, 1) * (1 - height)
        return Geometry(np.array([[width, 0, x], [0, height, y], [0, 0, 1]]))


def part_of(side: int, size: int, rng: np.random.Generator | None = None) -> Geometry:
    """``size`` px of a picture of ``side`` px, whole pixels: at random, or the middle."""
    beyond = side - size
    x, y = (beyond // 2, beyond // 2) if rng is None else rng.integers(beyond + 1, size=2)
    scale = size / side
    return Geometry(
        np.array([[scale, 0, (2 * x - beyond) / side], [0, scale, (2 * y - beyond) / side], [0, 0, 1]])
    )


class Brightness(Step):
    """The same amount added to all pixels."""

    kind: Literal["brightness"] = "brightness"
    amount: float = Field(default=0.1, ge=0, le=1)
    """Largest change, either way, as a share of full white."""

    def draw(self, rng: np.random.Generator, size: int) -> Colour:
        return Colour(np.eye(3), bias=255 * rng.uniform(-self.amount, self.amount))


class Gain(Step):
    """All pixels multiplied by the same factor (torchvision's brightness)."""

    kind: Literal["gain"] = "gain"
    amount: float = Field(default=0.2, ge=0, le=1)
    """The factor is uniform in 1 - amount to 1 + amount."""

    def draw(self, rng: np.random.Generator, size: int) -> Colour:
        return Colour(np.eye(3) * rng.uniform(1 - self.amount, 1 + self.amount))


class Contrast(Step):
    """Distances from the picture's mean grey stretched or squeezed."""

    kind: Literal["contrast"] = "contrast"
    amount: float = Field(default=0.2, ge=0, le=1)
    """The factor is uniform in 1 - amount to 1 + amount."""

    def draw(self, rng: np.random.Generator, size: int) -> Colour:
        return Colour(np.eye(3) * rng.uniform(1 - self.amount, 1 + self.amount), pivot=True)


class ColourShift(Step):
    """Saturation and hue changed."""

    kind: Literal["colour"] = "colour"
    saturation: float = Field(default=0.2, ge=0, le=1)
    """The factor is uniform in 1 - saturation to 1 + saturation; 0 is grey."""
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Largest turn of the colour circle, either way, as a share of a full turn (at equal luminance, in
    YIQ)."""

    def draw(self, rng: np.random.Generator, size: int) -> Colour:
        factor = rng.uniform(1 - self.saturation, 1 + self.saturation)
        matrix = factor * np.eye(3) + (1 - factor) * _GREY
        if self.hue:
            turn = np.eye(3)
            turn[1:, 1:] = _rotation(360 * rng.uniform(-self.hue, self.hue))[:2, :2]
            matrix = _YIQ_TO_RGB @ turn @ _RGB_TO_YIQ @ matrix
        return Colour(matrix)


class Grey(Step):
    """Colours taken away."""

    kind: Literal["grey"] = "grey"
    p: Share = 0.1

    def draw(self, rng: np.random.Generator, size: int) -> Colour:
        return Colour(_GREY)


class Blur(Step):
    """Gaussian blur."""

    kind: Literal["blur"] = "blur"
    p: Share = 0.2
    sigma: Annotated[tuple[_Positive, _Positive], _RISING] = (0.3, 1.5)
    """Smallest and largest standard deviation, in pixels of the network's picture."""

    def draw(self, rng: np.random.Generator, size: int) -> Local:
        sigma = rng.uniform(*self.sigma) / size

        def apply(image: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
            return gaussian_blur(image, sigma * image.shape[-1]), mask

        return Local(apply)


class Cutout(Step):
    """A rectangle hidden, its place uniform, cut off at the border. What is hidden is no object in the mask.

    Source: DeVries and Taylor 2017, Improved regularization of convolutional neural networks with cutout.
    """

    kind: Literal["cutout"] = "cutout"
    height: Annotated[tuple[Share, Share], _RISING] = (0.25, 0.25)
    """Smallest and largest height, as a share of the side."""
    width: Annotated[tuple[Share, Share], _RISING] = (0.25, 0.25)
    """Smallest and largest width, as a share of the side."""
    value: int | None = Field(default=None, ge=0, le=255)
    """Grey value that fills it; None takes the picture's mean colour."""

    def draw(self, rng: np.random.Generator, size: int) -> Local:
        height, width = rng.uniform(*self.height), rng.uniform(*self.width)
        y, x = rng.uniform(), rng.uniform()

        def apply(image: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
            side = image.shape[-1]
            rows = slice(max(0, round((y - height / 2) * side)), max(0, round((y + height / 2) * side)))
            columns = slice(max(0, round((x - width / 2) * side)), max(0, round((x + width / 2) * side)))
            fill = image.mean((1, 2), keepdim=True).round_() if self.value is None else self.value
            image[:, rows, columns] = fill
            if mask is not None:
                mask[:, rows, columns] = 0
            return image, mask

        return Local(apply)


STEPS = Registry(
    "augmentation step",
    HorizontalFlip,
    VerticalFlip,
    QuarterTurn,
    Rotate,
    Shift,
    Shear,
    Zoom,
    Crop,
    Brightness,
    Gain,
    Contrast,
    ColourShift,
    Grey,
    Blur,
    Cutout,
)


def gaussian_blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """(C, H, W) float32 blurred with standard deviation ``sigma`` pixels, mirrored at the border, cut at 3
    sigma.

    Sums of shifted copies: several times faster on a CPU than a depthwise convolution of one picture.
    """
    radius = min(max(1, math.ceil(3 * sigma)), min(image.shape[1:]) - 1)
    weights = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    weights /= weights[0] + 2 * weights[1:].sum()
    for dim in (1, 2):
        side = image.shape[dim]
        pads = (0, 0, radius, radius) if dim == 1 else (radius, radius, 0, 0)
        padded = torch.nn.functional.pad(image[None], pads, mode="reflect")[0]
        image = padded.narrow(dim, radius, side) * weights[0]
        for k in range(1, radius + 1):
            image.add_(padded.narrow(dim, radius - k, side), alpha=weights[k])
            image.add_(padded.narrow(dim, radius + k, side), alpha=weights[k])
    return image


def _rotation(degrees: float) -> np.ndarray:
    """(3, 3) turn; exact for multiples of 90 degrees."""
    radians = math.radians(degrees)
    c, s = (round(v) if degrees % 90 == 0 else v for v in (math.cos(radians), math.sin(radians)))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
