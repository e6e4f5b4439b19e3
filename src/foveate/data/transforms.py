"""Joint augmentation of a picture and its mask: presets, free composition, and a fast way to run them.

The parameters of every step are drawn from a generator keyed by (seed, purpose, epoch, sample), so the same
sample in the same epoch is augmented alike by any worker. Neighbouring geometric steps become one matrix and
one resampling, neighbouring colour steps one matrix; the kernels are torch's own.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, model_validator

from foveate.core.config import Config, HashedAs, Mark, parse
from foveate.core.registry import by_kind
from foveate.core.rng import numpy_generator
from foveate.data.presets import PRESETS
from foveate.data.steps import LUMINANCE, STEPS, Colour, Geometry, Local, Operation, Step, part_of

Fill = Literal["reflect", "mean", "black"]
Interpolation = Literal["bilinear", "bicubic"]
Part = Literal["", "random", "middle"]
MODES = {"bilinear": 0, "bicubic": 2}
"""Numbers of torch.grid_sampler_2d."""


def _in_kinds(steps: Any) -> Any:
    """Steps as they are written now."""
    return [by_kind(step) for step in steps] if isinstance(steps, list | tuple) else steps


def _in_names(steps: Any) -> Any:
    """Steps as hashes see them."""
    return steps and [{"name" if k == "kind" else k: value for k, value in step.items()} for step in steps]


class AugmentationConfig(Config):
    """How training pictures are varied."""

    preset: str = "standard"
    """none, basic, standard, advanced, plant or plant_zoom; not used when ``steps`` is given."""
    steps: Annotated[tuple[dict[str, Any], ...] | None, BeforeValidator(_in_kinds), HashedAs(_in_names)] = (
        None
    )
    """Free composition: a list of steps, each with its ``kind`` and settings (see ``foveate.data.steps``)."""
    fill: Fill = "reflect"
    """What shows where a picture was moved away: its mirror image, its mean colour, or black. Masks get 0."""

    interpolation: Annotated[Interpolation, Mark.LATER] = "bilinear"
    """Between pixels, where a picture is turned, scaled or moved by parts of a pixel; masks: always nearest. Bilinear
    blurs, and a network that learns from blurred pictures only may fail on sharp ones (results/plants.md): bicubic
    where pictures are kept at the network's own size. It takes seven times as long, 0.5 ms for 96 px."""

    @model_validator(mode="after")
    def _known(self) -> "AugmentationConfig":
        self.build()
        return self

    def build(self) -> tuple[Step, ...]:
        """The steps, validated.

        Raises:
            ConfigError: an unknown preset, step or setting.
        """
        if self.steps is None:
            steps: tuple[Step, ...] = PRESETS.find(self.preset).steps
            return steps
        return tuple(
            parse(STEPS.find(str(values.get("kind"))), values, source=f"augmentation.steps[{k}]")
            for k, values in enumerate(self.steps)
        )


def build_transform(config: AugmentationConfig, size: int, part: Literal["", "random"] = "") -> "Transform":
    """Augmentation of training pictures, to the network's ``size``."""
    return Transform(config.build(), size, config.fill, config.interpolation, part)


@dataclass(frozen=True)
class Transform:
    """Augment one picture and its mask; without ``steps`` they are brought to ``size``. Small and picklable."""

    steps: tuple[Step, ...]
    size: int
    """Side of the result in pixels."""
    fill: Fill = "reflect"
    interpolation: Interpolation = "bilinear"
    part: Part = ""
    """Of larger pictures a part of ``size`` px is taken first, pixel for pixel: "random", or the "middle"; "": all of
    the picture is shrunk."""

    @property
    def random(self) -> bool:
        """Whether the key matters."""
        return bool(self.steps) or self.part == "random"

    @property
    def plain(self) -> "Transform":
        """Pictures of the same size as evaluation sees them."""
        return Transform((), self.size, part="middle" if self.part else "")

    def __call__(
        self, image: torch.Tensor, mask: torch.Tensor | None, *key: int | str
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Apply to one picture.

        Args:
            image: (3, H, H) uint8; not changed.
            mask: (1, H, H) uint8 of the same picture, or None.
            key: what the draw is keyed by: seed, purpose, epoch or view, sample.

        Returns:
            (3, size, size) uint8 and (1, size, size) uint8, or None without a mask. May share memory with the
            input.
        """
        run = _Run(image, mask, self.size, self.fill, MODES[self.interpolation])
        if self.part == "middle":
            run.add(part_of(image.shape[-1], self.size))
        if self.random:
            rng = numpy_generator(*key)
            if self.part == "random":
                run.add(part_of(image.shape[-1], self.size, rng))
            for step in self.steps:
                if step.p >= 1 or rng.random() < step.p:
                    run.add(step.draw(rng, self.size))
        return run.finish()


@dataclass
class _Run:
    """One picture on its way: operations wait until one comes that they cannot be fused with."""

    image: torch.Tensor  # uint8 as long as nothing needs floats
    mask: torch.Tensor | None
    size: int
    fill: Fill
    mode: int = 0
    geometry: np.ndarray | None = None
    colours: list[Colour] = field(default_factory=list)

    def add(self, operation: Operation) -> None:
        match operation:
            case Geometry(matrix):
                self.flush_colours()
                self.geometry = matrix if self.geometry is None else self.geometry @ matrix
            case Colour():
                self.flush_geometry()
                self.colours.append(operation)
            case Local(apply):
                self.flush_geometry()
                self.flush_colours()
                self.image, self.mask = apply(
                    self.as_float(), None if self.mask is None else self.mask.clone()
                )

    def finish(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        self.flush_geometry()
        self.flush_colours()
        self.resize()
        image = self.image
        if image.dtype != torch.uint8:
            # numpy rounds and converts three times faster than torch here (torch 2.13, AVX2)
            values = image.numpy()
            image = torch.from_numpy(np.add(values, 0.5, out=values).astype(np.uint8))
        return image, self.mask

    def as_float(self) -> torch.Tensor:
        """The picture as float32 that may be written to."""
        return self.image.float() if self.image.dtype == torch.uint8 else self.image

    def flush_colours(self) -> None:
        if not self.colours:
            return
        image = self.as_float()
        matrix, bias = np.eye(3), np.zeros(3)
        mean = image.mean((1, 2)).numpy() if any(colour.pivot for colour in self.colours) else bias
        for colour in self.colours:
            if colour.pivot:  # grey of the mean = mean of the grey, also after the colours before this one
                grey = float(LUMINANCE @ (matrix @ mean + bias))
                bias = colour.matrix @ bias + colour.bias + grey - colour.matrix @ np.full(3, grey)
            else:
                bias = colour.matrix @ bias + colour.bias
            matrix = colour.matrix @ matrix
        self.colours.clear()
        if np.array_equal(matrix, np.eye(3) * matrix[0, 0]) and np.ptp(bias) < 1e-9:
            image = image.mul_(matrix[0, 0]).add_(bias[0])
        else:
            left, added = (torch.from_numpy(values.astype(np.float32)) for values in (matrix, bias))
            image = torch.addmm(added[:, None], left, image.reshape(3, -1)).view_as(image)
        self.image = image.clamp_(0, 255)

    def flush_geometry(self) -> None:
        if self.geometry is None:
            return
        matrix, self.geometry = self.geometry, None
        if not self.move_whole_pixels(matrix):
            self.resample(matrix)

    def move_whole_pixels(self, matrix: np.ndarray) -> bool:
        """Parts, flips and shifts by whole pixels by copying; returns False when the matrix is more than that."""
        side = self.image.shape[-1]
        scale, beyond = self.size / side, side - self.size
        shift = (matrix[:2, 2] * side + beyond) / 2  # (x, y) of the first pixel that is seen
        whole = np.rint(shift)
        if (
            beyond < 0
            or abs(matrix[0, 1]) + abs(matrix[1, 0]) > 1e-12
            or abs(abs(matrix[0, 0]) - scale) + abs(abs(matrix[1, 1]) - scale) > 1e-12
            or np.abs(shift - whole).max() > 1e-6
            or (np.abs(whole).max() >= side if not beyond else whole.min() < 0 or whole.max() > beyond)
        ):
            return False
        if beyond:
            columns, rows = (slice(int(first), int(first) + self.size) for first in whole)
            self.image, whole = self.image[:, rows, columns].clone(), whole * 0
            if self.mask is not None:
                self.mask = self.mask[:, rows, columns]
        flips = [dim for dim, k in ((2, 0), (1, 1)) if matrix[k, k] < 0]
        if flips:
            self.image = self.image.flip(flips)
            if self.mask is not None:
                self.mask = self.mask.flip(flips)
        fill = self.fill_value()
        for dim, k in ((2, 0), (1, 1)):
            pixels = int(-math.copysign(1, matrix[k, k]) * whole[k])
            if pixels:
                self.image = _shift(self.image, pixels, dim, fill)
                if self.mask is not None:
                    self.mask = _shift(self.mask, pixels, dim, 0)
        return True

    def resample(self, matrix: np.ndarray) -> None:
        """The picture by its interpolation (shrunk first where it loses more than a third), the mask by nearest."""
        grid = _grid(matrix, self.size)
        fill = self.fill_value()
        stride = float(np.linalg.norm(matrix[:2, :2], axis=0).min()) * self.image.shape[-1] / self.size
        if stride > 1.5:
            side = max(1, round(self.image.shape[-1] / stride))
            self.image = F.interpolate(self.image[None], (side, side), mode="bilinear", antialias=True)[0]
        image = self.as_float()[None]
        if fill is None:
            image = torch.grid_sampler_2d(image, grid, self.mode, 2, False)
        else:
            image = torch.grid_sampler_2d(image - fill, grid, self.mode, 0, False).add_(fill)
        self.image = image[0].clamp_(0, 255)  # (3, size, size)
        if self.mask is not None:
            self.mask = torch.grid_sampler_2d(self.mask[None].float(), grid, 1, 0, False)[0].to(torch.uint8)

    def resize(self) -> None:
        """To the final size, when no geometric step has brought the picture there."""
        size = (self.size, self.size)
        if self.image.shape[-1] != self.size:
            image = F.interpolate(self.image[None], size, mode="bilinear", antialias=True)[0]
            self.image = image if image.dtype == torch.uint8 else image.clamp_(0, 255)
        if self.mask is not None and self.mask.shape[-1] != self.size:
            self.mask = F.interpolate(self.mask[None], size, mode="nearest-exact")[0]

    def fill_value(self) -> torch.Tensor | None:
        """(3, 1, 1) in the picture's type, or None to mirror."""
        if self.fill == "reflect":
            return None
        if self.fill == "black":
            return torch.zeros((3, 1, 1), dtype=self.image.dtype)
        return self.image.float().mean((1, 2), keepdim=True).round_().to(self.image.dtype)


def _grid(matrix: np.ndarray, size: int) -> torch.Tensor:
    """(1, size, size, 2) float32 input coordinates of all output pixels; an outer sum, faster than
    affine_grid."""
    centres = torch.arange(1, 2 * size, 2, dtype=torch.float32).div_(size).sub_(1)
    m = torch.from_numpy(matrix[:2].astype(np.float32))
    row = (centres[:, None] * m[:, 0] + m[:, 2]).view(1, 2 * size)  # x y x y ... along one row
    slope = m[:, 1].repeat(size).view(1, 2 * size)
    return (centres[:, None] * slope).add_(row).view(1, size, size, 2)


def _shift(x: torch.Tensor, pixels: int, dim: int, fill: torch.Tensor | int | None) -> torch.Tensor:
    """Content moved by ``pixels`` along ``dim``; what opens is the mirror image (None) or ``fill``."""
    side, count = x.shape[dim], abs(pixels)
    kept = x.narrow(dim, 0 if pixels > 0 else count, side - count)
    opened = x.narrow(dim, 0 if pixels > 0 else side - count, count)
    strip = opened.flip(dim) if fill is None else torch.zeros_like(opened).add_(fill)
    return torch.cat((strip, kept) if pixels > 0 else (kept, strip), dim)
