"""Masks made ready for a loss: boxed, widened, softened, then brought to the size of a map."""

from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator

from foveate.augmentation.background_swap import widen
from foveate.objectives.term import TermConfig

Resize = Literal["area", "nearest", "bilinear"]


class MaskConfig(TermConfig):
    """What is done to a mask, in this order and at the mask's own size, before it is compared with anything."""

    box: bool = False
    """The mask's bounding box in place of the mask."""
    dilate: int = Field(default=0, ge=-512, le=512)
    """Pixels of the training picture by which the object grows on every side; negative: it shrinks."""
    dilate_share: float = Field(default=0.0, gt=-1, lt=1)
    """The same as a share of the picture's shorter side, rounded to pixels; only one of the two may be set."""
    soften: float = Field(default=0.0, ge=0, le=512)
    """Soft edges: standard deviation of a Gaussian blur, in pixels; 0 = none."""

    @model_validator(mode="after")
    def _one_dilation(self) -> "MaskConfig":
        if self.dilate and self.dilate_share:
            raise ValueError(
                f"dilate {self.dilate} and dilate_share {self.dilate_share} contradict; set one of them"
            )
        return self

    def consumes(self) -> tuple[str, ...]:
        return ("masks",)


def prepare_masks(masks: torch.Tensor, config: MaskConfig) -> torch.Tensor:
    """(B, 1, H, W) masks in [0, 1] -> the same shape and range, as ``config`` says; the input is not changed."""
    if config.box:
        masks = bounding_boxes(masks)
    pixels = config.dilate or round(config.dilate_share * min(masks.shape[-2:]))
    if pixels:
        masks = widen(masks, pixels)
    return soften(masks, config.soften) if config.soften else masks


def bounding_boxes(masks: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) -> (B, 1, H, W) of 0 and 1: the smallest upright box around all pixels of 0.5 or more."""
    inside = masks >= 0.5
    rows, columns = (_between(inside.any(dim=dim, keepdim=True), 5 - dim) for dim in (3, 2))
    return (rows & columns).to(masks.dtype)


def _between(marked: torch.Tensor, dim: int) -> torch.Tensor:
    """True from the first True to the last along ``dim``."""
    begun = marked.int().cummax(dim).values
    unfinished = marked.flip(dim).int().cummax(dim).values.flip(dim)
    return (begun & unfinished).bool()


def soften(masks: torch.Tensor, sigma: float) -> torch.Tensor:
    """(B, 1, H, W) blurred with a Gaussian of ``sigma`` pixels; a mask's sum stays (mirrored border).

    The kernel ends at 4 sigma: ``scipy.ndimage.gaussian_filter`` with its defaults.
    """
    height, width = masks.shape[-2:]
    rows, columns = (_blur_matrix(side, sigma).to(masks) for side in (height, width))
    return rows @ masks @ columns.T


@lru_cache(maxsize=16)
def _blur_matrix(side: int, sigma: float) -> torch.Tensor:
    """(side, side) float64: row i holds what each pixel gives to pixel i."""
    radius = int(4 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets.double() / max(sigma, 1e-6)) ** 2)
    source = (torch.arange(side)[:, None] + offsets) % (2 * side)  # d c b a | a b c d | d c b a
    source = torch.where(source < side, source, 2 * side - 1 - source)
    matrix = torch.zeros(side, side, dtype=torch.float64)
    return matrix.scatter_add_(1, source, (kernel / kernel.sum()).expand(side, -1).contiguous())


def resize_masks(masks: torch.Tensor, size: tuple[int, int], how: Resize) -> torch.Tensor:
    """(B, 1, H, W) -> (B, h, w).

    "area": the share of each cell that is object; "nearest": the cell's centre pixel; "bilinear": a weighted mean of
    the four pixels around the cell's centre, without antialiasing, as TensorFlow's resize does by default.
    """
    if how == "bilinear":
        return F.interpolate(masks, size=size, mode="bilinear", align_corners=False, antialias=False)[:, 0]
    return F.interpolate(masks, size=size, mode="area" if how == "area" else "nearest-exact")[:, 0]
