"""Masks: missing, unreadable, of another shape or size, empty or full."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.data import annotations
from foveate.data.audit.facts import THUMB, Facts, MaskFacts
from foveate.data.audit.report import Problem
from foveate.data.catalog import Catalog

_FULL = 0.999
_SURROUNDS = 0.9
"""Share of the picture's edge, from which on a mask that covers half of it and more may mark the background."""


def look_at_mask(root: Path, reference: str, size: tuple[int, int], orientation: int = 1) -> MaskFacts:
    """Read one mask of an upright picture of ``size`` (W, H) that EXIF ``orientation`` turned."""
    try:
        found = annotations.find_mask(root, reference, size, orientation)
    except annotations.MaskShapeError as error:
        return MaskFacts(("mask-shape", error.reason))
    except annotations.MaskError as error:
        return MaskFacts(("mask-unreadable", error.reason))
    marked = np.asarray(found.image) > 127
    edge = np.concatenate([marked[0], marked[-1], marked[:, 0], marked[:, -1]])
    sizes = {size, size[::-1]} if orientation >= 5 else {size}
    return MaskFacts(
        scaled_from=None if found.own in sizes else found.own,
        area=float(marked.mean()),
        edge=float(edge.mean()),
        how=found.how,
        thumb=np.asarray(found.image.resize((THUMB, THUMB), Image.Resampling.BOX)),
    )


def problems(catalog: Catalog, facts: Sequence[Facts]) -> list[Problem]:
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
    found += _readings(catalog, facts)
    missing = [sample.path for sample in catalog.samples if not sample.mask]
    if missing:
        message = f"{len(missing)} of {len(catalog)} pictures have no mask; mask terms skip them."
        found.append(Problem.of("mask-missing", "", message, missing))
    return found


def _readings(catalog: Catalog, facts: Sequence[Facts]) -> list[Problem]:
    """What was decided about masks that are not plain, and whether they seem to mark the background: once a kind."""
    rows = [
        (s.path, f.mask) for s, f in zip(catalog.samples, facts, strict=True) if f.mask and not f.mask.failure
    ]
    found = []
    for how, words in annotations.HOW.items():
        alike = [path for path, mask in rows if mask.how == how]
        if alike:
            text = f"{len(alike)} of {len(rows)} {words}."
            found.append(Problem.of("mask-no-zero" if how == "no zero" else "mask-read-as", "", text, alike))
    marked = [(path, mask) for path, mask in rows if 0 < mask.area < _FULL]
    around = [path for path, mask in marked if mask.area > 0.5 and mask.edge >= _SURROUNDS]
    if 2 * len(around) > len(marked):
        area = float(np.median([mask.area for _, mask in marked]))
        text = (
            f"{len(around)} of {len(marked)} masks run along the whole edge of the picture and cover most of it "
            f"(median {area:.0%}): are object and background swapped? If so, --set 'data.layout.mask_values=[0]' "
            "reads mask files the other way round."
        )
        found.append(Problem.of("mask-inverted", "", text, around))
    return found
