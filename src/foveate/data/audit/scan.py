"""One pass over the pictures: each is decoded once, and everything the audit needs is derived from that."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from PIL import ExifTags, Image

from foveate.core.threads import in_threads
from foveate.data import bit_depth, decode
from foveate.data.audit.cues import describe
from foveate.data.audit.facts import GREY_SIDE, THUMB, Facts
from foveate.data.audit.masks import look_at_mask
from foveate.data.catalog import Catalog

_COLOURLESS = 1.5  # mean spread of the three channels, in 0..255; JPEG alone stays below
_SECOND_FRAME_IS_NO_ANIMATION = {"MPO"}  # a JPEG with a preview or a stereo partner


def scan(
    catalog: Catalog,
    *,
    mask_edge: int,
    threads: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Facts]:
    """Look at every picture and its mask; one entry per row of the catalog."""

    def one(row: int) -> Facts:
        sample = catalog.samples[row]
        return look(catalog.file(row), catalog.root, sample.mask, mask_edge)

    facts: list[Facts] = []
    greys = np.empty((len(catalog), GREY_SIDE, GREY_SIDE), dtype=np.uint8)
    tell = None if progress is None else partial(progress, "pictures")
    with decode.quiet_pillow():
        for row, found in enumerate(in_threads(one, range(len(catalog)), tell, threads)):
            greys[row] = found.grey
            # Trap: small arrays that threads made amid large ones keep the pages around them: six times the memory.
            own = {name: vector.copy() for name, vector in found.cues.items()}
            facts.append(replace(found, grey=greys[row], cues=own))
    return facts


def look(path: Path, root: Path, mask: str, mask_edge: int) -> Facts:
    """Decode one picture (and read its mask reference, "" for none) and derive its facts."""
    try:
        with decode.open_image(path) as header:
            kept = _header(header)
    except decode.DecodeError as error:
        bomb = isinstance(error.__cause__, Image.DecompressionBombError)
        return Facts(failure=("too-large" if bomb else "unreadable", error.reason))
    try:
        rgb = decode.read_image(path)
    except decode.DecodeError as error:
        return Facts(failure=("truncated", error.reason))
    thumb = rgb.resize((THUMB, THUMB), Image.Resampling.BOX)
    grey = thumb.convert("L")
    pixels = np.asarray(thumb)
    turn = kept.pop("orientation")
    mask_facts = look_at_mask(root, mask, rgb.size, turn) if mask else None
    return Facts(
        **kept,
        rotated=turn != 1,
        size=rgb.size,
        file_bytes=path.stat().st_size,
        colourless=bool(np.ptp(pixels.astype(np.int16), axis=2).mean() < _COLOURLESS),
        pixels=hashlib.blake2b(rgb.tobytes(), digest_size=16, key=str(rgb.size).encode()).digest(),
        phash=int.from_bytes(np.packbits(imagehash.phash(grey).hash).tobytes()),
        grey=np.asarray(grey.resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX)),
        cues=describe(pixels, mask_facts.thumb if mask_facts else None, mask_edge),
        mask=mask_facts and replace(mask_facts, thumb=None),  # 4 KB that nobody asks for again
    )


def _header(image: Image.Image) -> dict[str, Any]:
    """What the header tells; the pixels are not decoded."""
    is_deep = bit_depth.is_deep(image)  # first: looking for EXIF decodes a PNG
    camera, time = _exif(image)
    return {
        "format": image.format or "",
        "mode": image.mode,
        "deep": is_deep,
        "alpha": image.has_transparency_data,
        "orientation": decode.orientation(image),
        "frames": _frames(image),
        "camera": camera,
        "time": time,
    }


def _frames(image: Image.Image) -> int:
    if image.format in _SECOND_FRAME_IS_NO_ANIMATION:
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  a damaged later frame raises nearly anything; the first is what counts
        return 1


def _exif(image: Image.Image) -> tuple[str, str]:
    try:
        exif = image.getexif()
        inner = exif.get_ifd(ExifTags.IFD.Exif)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  damaged EXIF raises nearly anything; the picture itself is fine
        return "", ""
    camera = " ".join(
        str(exif.get(tag, "")).strip("\0 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model)
    )
    time = inner.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime) or ""
    return camera.strip(), str(time).strip("\0 ")
