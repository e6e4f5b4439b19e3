"""Where a mask comes from: a mask file that was proposed says how it was made, and which pixels it had then."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from foveate.data.annotations import mask_files
from foveate.data.decode import DecodeError, load_image

CHUNK = "foveate"
"""Keyword of the PNG text that says how a mask was made."""
Source = Literal["drawn", "proposed", ""]
"""What a picture has: a mask that was drawn, or edited; one that was proposed (foveate masks propose); or none."""


def digest(pixels: np.ndarray) -> str:
    """16 hex digits of an (h, w) uint8 mask."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:16]


def source_of(root: Path, reference: str) -> Source:
    """Of ``Sample.mask``; opens files that may have been proposed."""
    if not reference:
        return ""
    files = mask_files(root, reference) if reference.startswith("png:") else []
    return "proposed" if files and all(map(_as_proposed, files)) else "drawn"


def makers(root: Path, references: Iterable[str]) -> Counter[Source]:
    """How many of these masks come from where; those whose file is gone are not counted."""
    return Counter(
        source_of(root, one) for one in references if not one.startswith("png:") or mask_files(root, one)
    )


def _as_proposed(file: Path) -> bool:
    try:
        with load_image(file) as image:
            text = image.info.get(CHUNK)
            made = json.loads(text) if isinstance(text, str) else None
            return isinstance(made, dict) and made.get("pixels") == digest(np.asarray(image.convert("L")))
    except (DecodeError, ValueError):
        return False  # the mask's reader says what is wrong with it
