"""Masks: missing, unreadable, of another shape or size, empty or full."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from foveate.data import annotations
from foveate.data.audit.cues import THUMB
from foveate.data.audit.report import Problem
from foveate.data.catalog import Catalog

if TYPE_CHECKING:
    from foveate.data.audit.scan import Facts

_FULL = 0.999


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What one mask is like."""

    failure: tuple[str, str] | None = None
    """(code, reason) when it cannot be used."""
    scaled_from: tuple[int, int] | None = None
    """(W, H) as stored, when that is not the picture's size."""
    area: float = 0.0
    """Share of the picture that is object, 0 to 1."""
    thumb: np.ndarray | None = None
    """(64, 64) uint8, share of object in each cell, 0 to 255."""


def look_at_mask(root: Path, reference: str, size: tuple[int, int], orientation: int = 1) -> MaskFacts:
    """Read one mask of an upright picture of ``size`` (W, H) that EXIF ``orientation`` turned."""
    sizes = {size, size[::-1]} if orientation >= 5 else {size}
    try:
        stored = annotations.mask_size(root, reference)
        if stored is not None and not any(annotations.same_shape(stored, known) for known in sizes):
            reason = f"it is {stored[0]}x{stored[1]}, the picture {size[0]}x{size[1]}"
            return MaskFacts(("mask-shape", reason))
        mask = annotations.read_mask(root, reference, size, orientation)
    except annotations.MaskError as error:
        return MaskFacts(("mask-unreadable", error.reason))
    small = np.asarray(mask.resize((THUMB, THUMB), Image.Resampling.BOX))
    scaled = None if stored in sizes else stored
    return MaskFacts(None, scaled, float((np.asarray(mask) > 127).mean()), small)


def problems(catalog: Catalog, facts: Sequence["Facts"]) -> list[Problem]:
    """Everything wrong with masks; nothing when the set has none."""
    if not catalog.has_masks:
        return []
    found = []
    for sample, fact in zip(catalog.samples, facts, strict=True):
        mask = fact.mask
        if mask is None:
            continue
        if mask.failure is not None:
            text = f"The mask {sample.mask} cannot be used: {mask.failure[1]}."
            found.append(Problem.of(mask.failure[0], sample.path, text))
            continue
        if mask.scaled_from is not None:
            sizes = "{}x{}, the picture {}x{}".format(*mask.scaled_from, *fact.size)
            found.append(Problem.of("mask-size", sample.path, f"The mask is {sizes}; the mask is scaled."))
        if mask.area == 0:
            found.append(Problem.of("mask-empty", sample.path, "The mask marks nothing."))
        elif mask.area >= _FULL:
            found.append(
                Problem.of("mask-full", sample.path, "The mask marks the whole picture: it guides nowhere.")
            )
    missing = [sample.path for sample in catalog.samples if not sample.mask]
    if missing:
        message = f"{len(missing)} of {len(catalog)} pictures have no mask; mask terms skip them."
        found.append(Problem.of("mask-missing", "", message, missing))
    return found
