"""GrabCut on arrays: a picture and a rough idea of where the object is (a prior) -> a mask, with reasons to doubt it.

GrabCut (Rother, Kolmogorov, Blake: "GrabCut: interactive foreground extraction using iterated graph cuts", SIGGRAPH
2004) through OpenCV, which is an optional dependency (extra ``masks``) and imported by the first call.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field, model_validator
from scipy import ndimage

from foveate.core.config import Config
from foveate.core.errors import ConfigError, DataError

BACKGROUND, OBJECT, LIKELY_BACKGROUND, LIKELY_OBJECT = 0, 1, 2, 3
"""Seed values, as OpenCV numbers them: the first two are fixed, the last two may change."""

FULL = 0.9
"""Share of the picture above which a mask is doubtful."""
SMALL = 0.005
"""Share of the picture below which a mask is doubtful."""
WHOLE = 0.6
"""A mask is doubtful when its largest piece is less than this share of all that was found."""
FAINT = 8.0
"""Colour difference (CIE76, units of CIELAB) across the outline below which a mask is doubtful."""
FILLED = 0.25
"""Share of its boxes below which a mask is doubtful."""
SPECK = 0.05
"""Pieces of a known mask smaller than this share of the largest get no box of their own."""
BAND = 0.04
"""Width of the bands on both sides of the outline that are compared, as a share of the short side."""


class ProposeConfig(Config):
    """How masks are proposed."""

    prior: Literal["auto", "centre", "box", "class-map", "masks"] = "auto"
    """Where the object is expected: in the middle, in the boxes of the data set, where a trained network looks, or
    where the masks that are there teach a network to see it (without GrabCut).
    auto: the boxes of a picture that has any, else the class map if a run was given, else the middle."""
    shape: Literal["ellipse", "rectangle"] = "ellipse"
    """Of the centre prior."""
    share: float = Field(0.5, gt=0, lt=1)
    """Area of the centre prior, as a share of the picture."""
    core: float = Field(0.05, ge=0, lt=1)
    """Innermost part of the centre prior that is object for certain, as a share of the prior's area; 0 = none."""
    box_core: float = Field(0.08, ge=0, lt=0.7)
    """Ellipse in the middle of every box that is object for certain, as a share of the box's area; 0 = none."""
    rim: float = Field(0.02, ge=0, lt=0.25)
    """Strip along the picture's edge that is background for certain, as a share of each side (centre and class-map)."""
    tap: str | None = None
    """Feature map of which the class map is made: early, middle, late, stage:K or a module; None = the run's own."""
    sure_object: float = Field(0.9, gt=0, lt=1)
    """Quantile of the class map above which a pixel is object for certain."""
    sure_background: float = Field(0.1, ge=0, lt=1)
    """Quantile of the class map below which a pixel is background for certain."""
    iterations: int = Field(5, ge=1, le=50)
    """Rounds of GrabCut."""
    side: int = Field(192, ge=16, le=2048)
    """Longest side of the picture that GrabCut sees, in pixels; smaller pictures are not enlarged."""

    @model_validator(mode="after")
    def _check_quantiles(self) -> "ProposeConfig":
        if self.sure_background >= self.sure_object:
            raise ValueError(
                f"sure_background ({self.sure_background:g}) must be below sure_object ({self.sure_object:g})"
            )
        return self


USED = {
    "centre": ("shape", "share", "core", "rim"),
    "box": ("box_core",),
    "class-map": ("tap", "sure_object", "sure_background", "rim"),
    "masks": (),
}
"""{prior: the fields of ``ProposeConfig`` that it reads, besides those that all read}"""


@dataclass(frozen=True)
class Cut:
    """What GrabCut found in one picture."""

    mask: np.ndarray
    """(H, W) bool, True = object."""
    contrast: float
    """Colour difference across the outline, see ``contrast``; NaN when the mask is empty or full."""
    doubts: tuple[str, ...]
    """Reasons to look at it, in words; empty when there is none."""


def opencv() -> ModuleType:
    """OpenCV.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise ConfigError(
            "Proposing masks needs OpenCV, which is not installed; pip install foveate[masks]."
        ) from error
    return cv2


def centre_shape(height: int, width: int, share: float, shape: str = "ellipse") -> np.ndarray:
    """(height, width) bool: an ellipse or rectangle in the middle with the picture's aspect and ``share`` of its area.

    An ellipse of more than pi / 4 (79 %) of the picture is cut off by its sides.
    """
    y = (np.arange(height) + 0.5) / height * 2 - 1
    x = (np.arange(width) + 0.5) / width * 2 - 1
    if shape == "rectangle":
        side = math.sqrt(share)
        return (np.abs(y)[:, None] <= side) & (np.abs(x)[None] <= side)
    return np.asarray(y[:, None] ** 2 + x[None] ** 2 <= share * 4 / math.pi)


def rim(height: int, width: int, share: float) -> np.ndarray:
    """(height, width) bool: the strip along the edge, ``share`` of each side and at least one pixel; none for 0."""
    strip = np.zeros((height, width), dtype=bool)
    if share > 0:
        y, x = max(1, round(share * height)), max(1, round(share * width))
        strip[:y], strip[-y:], strip[:, :x], strip[:, -x:] = True, True, True, True
    return strip


def seeds_from_centre(height: int, width: int, config: ProposeConfig) -> np.ndarray:
    """Seeds (height, width) uint8 for an object in the middle: certain in the core, likely in the shape, never in the
    rim."""
    seeds = np.full((height, width), LIKELY_BACKGROUND, dtype=np.uint8)
    seeds[centre_shape(height, width, config.share, config.shape)] = LIKELY_OBJECT
    if config.core > 0:
        seeds[centre_shape(height, width, config.share * config.core, config.shape)] = OBJECT
    seeds[rim(height, width, config.rim)] = BACKGROUND
    return seeds


def boxes_of(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the bounding boxes of a mask's pieces, filled; specks are left out."""
    pieces, count = ndimage.label(mask)
    areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    inside = np.zeros(mask.shape, dtype=bool)
    for place, area in zip(ndimage.find_objects(pieces), areas, strict=True):
        if area >= SPECK * areas.max():
            inside[place] = True
    return inside


def seeds_from_boxes(inside: np.ndarray, core: float = 0.0) -> np.ndarray:
    """Seeds (H, W) uint8 for objects somewhere in ``inside`` (H, W) bool; nothing outside is object.

    ``core`` is ``ProposeConfig.box_core``. Without it GrabCut finds nothing where the object's colours also occur
    outside its box. Boxes that leave no background get a rim of one pixel, or it could not learn what background is.
    """
    if inside.all():
        inside = inside & ~rim(inside.shape[0], inside.shape[1], 1e-9)
    seeds = np.where(inside, LIKELY_OBJECT, BACKGROUND).astype(np.uint8)
    if core > 0:
        for place in ndimage.find_objects(ndimage.label(inside)[0]):
            box = seeds[place]
            box[centre_shape(box.shape[0], box.shape[1], core)] = OBJECT
    return seeds


def seeds_from_map(values: np.ndarray, config: ProposeConfig) -> np.ndarray:
    """Seeds (H, W) uint8 from a class map (H, W) >= 0, NaN where it says nothing (outside a cropped view).

    Object for certain from the upper quantile on and background for certain below the lower; between them likely
    object above the middle of the two quantiles. A flat map marks no object, so ``grab_cut`` refuses it.
    """
    known = np.isfinite(values)
    seeds = np.full(values.shape, LIKELY_BACKGROUND, dtype=np.uint8)
    if known.any():
        first, last = config.sure_background, config.sure_object
        low, middle, high = np.quantile(values[known], (first, (first + last) / 2, last))
        filled = np.where(known, values, middle)
        seeds[known & (filled > middle)] = LIKELY_OBJECT
        if high > low:
            seeds[known & (filled >= high)] = OBJECT
            seeds[known & (filled < low)] = BACKGROUND
    seeds[rim(values.shape[0], values.shape[1], config.rim)] = BACKGROUND
    return seeds


def grab_cut(image: np.ndarray, seeds: np.ndarray, *, iterations: int, seed: int) -> np.ndarray:
    """GrabCut: (H, W) bool, True = object.

    Args:
        image: (H, W, 3) uint8 RGB.
        seeds: (H, W) uint8, see ``BACKGROUND`` and the names beside it.
        iterations: rounds of fitting colours and cutting.
        seed: of the clustering that starts the colour models; the same picture, seeds and seed give the same mask.

    Raises:
        ConfigError: OpenCV is not installed.
        DataError: the seeds have no object or no background (a flat class map, a picture of a few pixels).
    """
    cv2 = opencv()
    background = np.isin(seeds, (BACKGROUND, LIKELY_BACKGROUND))
    if len(np.unique(background)) < 2:
        missing = "object" if background.all() else "background"
        raise DataError(f"the prior marks no {missing}, so there is nothing to tell apart")
    labels = seeds.copy()
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(seed & 0x7FFFFFFF)
    try:
        cv2.grabCut(
            np.ascontiguousarray(image[..., ::-1]), labels, None, *models, iterations, cv2.GC_INIT_WITH_MASK
        )
    except cv2.error as error:
        raise DataError(f"OpenCV gave up ({str(error.err or error).strip()})") from error
    return np.isin(labels, (OBJECT, LIKELY_OBJECT))


def tidy(mask: np.ndarray, regions: np.ndarray | None = None) -> np.ndarray:
    """(H, W) bool: the largest piece of ``mask``, holes filled; with ``regions`` (H, W) bool that of each region."""
    areas, count = ndimage.label(np.ones_like(mask) if regions is None else regions)
    kept = np.zeros_like(mask)
    for area in range(1, count + 1):
        pieces, _ = ndimage.label(mask & (areas == area))
        sizes = np.bincount(pieces.ravel())[1:]
        if len(sizes):
            kept |= pieces == 1 + sizes.argmax()
    return np.asarray(ndimage.binary_fill_holes(kept))


def contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """Colour difference across the outline: CIE76 distance between the mean CIELAB colours of a band inside and a band
    outside of it. NaN when the mask (H, W) is empty or full; image (H, W, 3) uint8 RGB."""
    reach = max(1.0, BAND * min(mask.shape))
    if not mask.any() or mask.all():
        return math.nan
    inside = mask & (ndimage.distance_transform_edt(mask) <= reach)
    outside = ~mask & (ndimage.distance_transform_edt(~mask) <= reach)
    lab = opencv().cvtColor(image.astype(np.float32) / 255, opencv().COLOR_RGB2LAB)
    return float(np.linalg.norm(lab[inside].mean(axis=0) - lab[outside].mean(axis=0)))


def cut(
    image: np.ndarray, seeds: np.ndarray, *, iterations: int, seed: int, regions: np.ndarray | None = None
) -> Cut:
    """GrabCut, tidied, with the reasons to doubt it. Arguments as of ``grab_cut``.

    Args:
        regions: (H, W) bool, boxes of which each may hold an object; None = one object.

    Raises:
        ConfigError, DataError: as ``grab_cut``.
    """
    found = grab_cut(image, seeds, iterations=iterations, seed=seed)
    mask = tidy(found, regions)
    difference = contrast(image, mask)
    further = {
        "in several pieces, of which the largest is kept": (mask & found).sum() < WHOLE * found.sum(),
        "fills little of its box": regions is not None and mask.sum() < FILLED * regions.sum(),
    }
    return Cut(mask, difference, doubts(mask, difference, further))


def doubts(
    mask: np.ndarray, difference: float, further: Mapping[str, bool] = MappingProxyType({})
) -> tuple[str, ...]:
    """Reasons to look at a mask (H, W) bool, in words.

    Args:
        difference: its ``contrast``.
        further: {reason: whether it holds}.
    """
    if not mask.any():
        return ("nothing was found",)
    edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    reasons = {
        "covers nearly everything": mask.mean() > FULL,
        "very small": mask.mean() < SMALL,
        "touches all four sides": all(edge.any() for edge in edges),
        "low contrast": difference < FAINT,
        **further,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def working_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) for GrabCut of a picture of ``size``: longest side ``side``, never enlarged."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def to_picture(mask: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """The mask (h, w) bool as a picture of ``size`` (width, height), mode L, 0 and 255, with a smooth outline."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return image.point([0] * 128 + [255] * 128)
