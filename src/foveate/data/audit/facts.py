"""One pass over the pictures: each is decoded once, and everything the audit needs is derived from that look."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from PIL import ExifTags, Image
from scipy import ndimage

from foveate.core.threads import in_threads
from foveate.data import annotations, bit_depth, decode
from foveate.data.annotations.proposed import Source, source_of
from foveate.data.catalog import Catalog

THUMB = 64
"""Side of the thumbnails that cues are computed from, in pixels."""
GREY_SIDE = 32
_FLAT = 1.5  # standard deviation of the grey thumbnail, in 0..255
_COLOURLESS = 1.5  # mean spread of the three channels, in 0..255; JPEG alone stays below
_FRAME = 2  # thumbnail pixels: 3 % of the side
_LEAST_BACKGROUND = 0.02  # share of the picture; less is no background to speak of


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What one mask is like."""

    failure: tuple[str, str] | None = None
    """(code, reason) when it cannot be used."""
    scaled_from: tuple[int, int] | None = None
    """(W, H) as stored, when that is not the picture's size."""
    area: float = 0.0
    """Share of the picture that is object, 0 to 1."""
    edge: float = 0.0
    """Share of the picture's outermost pixels that is object, 0 to 1."""
    source: Source = "drawn"
    """Where it comes from."""
    how: str = ""
    """How it was understood (``annotations.HOW``), when that was not plain."""
    thumb: np.ndarray | None = None
    """(64, 64) uint8, share of object in each cell, 0 to 255."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one decoding gave. Without a decoded picture ``failure`` holds (code, reason), and the rest is empty."""

    failure: tuple[str, str] | None = None
    file_bytes: int = 0
    format: str = ""
    """As Pillow names it, from the content."""
    mode: str = ""
    """Pillow's mode as stored (before conversion to RGB)."""
    size: tuple[int, int] = (0, 0)
    """(W, H), upright."""
    deep: bool = False
    """More than 8 bits a channel."""
    alpha: bool = False
    rotated: bool = False
    frames: int = 1
    camera: str = ""
    """EXIF make and model."""
    time: str = ""
    """EXIF time of exposure, "2024:05:31 12:00:00"."""
    colourless: bool = False
    """All three channels (nearly) equal, however stored."""
    pixels: bytes = b""
    """128-bit digest of size and upright RGB pixels: equal means identical pictures."""
    phash: int = 0
    """64-bit perceptual hash (DCT) of the grey picture."""
    grey: np.ndarray = field(default_factory=lambda: np.zeros((GREY_SIDE, GREY_SIDE), np.uint8))
    """(32, 32) uint8."""
    cues: dict[str, np.ndarray] = field(default_factory=dict)
    """Cue name -> feature vector (float32)."""
    mask: MaskFacts | None = None

    @property
    def flat(self) -> bool:
        """Whether it shows one colour only, with nothing to compare."""
        return self.failure is None and bool(self.grey.std() < _FLAT)


def scan(
    catalog: Catalog,
    *,
    mask_edge: int,
    threads: int | None = None,
    known: Mapping[int, Facts] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Facts]:
    """Look at every picture and its mask, but for the rows that are ``known``; one entry per row of the catalog."""

    def one(row: int) -> Facts:
        return look(catalog.file(row), catalog.root, catalog.samples[row].mask, mask_edge)

    found = dict(known or {})
    rows = [row for row in range(len(catalog)) if row not in found]
    greys = np.empty((len(rows), GREY_SIDE, GREY_SIDE), dtype=np.uint8)
    tell = None if progress is None else partial(progress, "pictures")
    with decode.quiet_pillow():
        for place, seen in enumerate(in_threads(one, rows, tell, threads)):
            greys[place] = seen.grey
            # Trap: small arrays that threads made amid large ones keep the pages around them: six times the memory.
            own = {name: vector.copy() for name, vector in seen.cues.items()}
            found[rows[place]] = replace(seen, grey=greys[place], cues=own)
    return [found[row] for row in range(len(catalog))]


def look(path: Path, root: Path, mask: str, mask_edge: int) -> Facts:
    """Decode one picture (and read its mask reference, "" for none) and derive its facts."""
    try:
        with decode.open_image(path) as image:
            kept = _header(image)
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
    deep = bit_depth.is_deep(image)  # first: looking for EXIF decodes a PNG
    frames, camera, time = 1, "", ""
    try:
        exif = image.getexif()
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        tags = (ExifTags.Base.Make, ExifTags.Base.Model)
        camera = " ".join(str(exif.get(tag, "")).strip("\0 ") for tag in tags).strip()
        time = inner.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime) or ""
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  damaged EXIF raises nearly anything; the picture itself is fine
        pass
    try:
        frames = (
            1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        )  # a JPEG with a preview or a partner
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  a damaged later frame raises nearly anything; the first is what counts
        pass
    return {
        "format": image.format or "",
        "mode": image.mode,
        "deep": deep,
        "alpha": image.has_transparency_data,
        "orientation": decode.orientation(image),
        "frames": frames,
        "camera": camera,
        "time": str(time).strip("\0 "),
    }


def look_at_mask(root: Path, reference: str, size: tuple[int, int], orientation: int = 1) -> MaskFacts:
    """Read one mask of an upright picture of ``size`` (W, H) that EXIF ``orientation`` turned."""
    try:
        found = annotations.find_mask(root, reference, size, orientation)
    except annotations.MaskError as error:
        shape = isinstance(error, annotations.MaskShapeError)
        return MaskFacts(("mask-shape" if shape else "mask-unreadable", error.reason))
    marked = np.asarray(found.image) > 127
    edge = np.concatenate([marked[0], marked[-1], marked[:, 0], marked[:, -1]])
    sizes = {size, size[::-1]} if orientation >= 5 else {size}
    return MaskFacts(
        scaled_from=None if found.own in sizes else found.own,
        area=float(marked.mean()),
        edge=float(edge.mean()),
        source=source_of(root, reference),
        how=found.how,
        thumb=np.asarray(found.image.resize((THUMB, THUMB), Image.Resampling.BOX)),
    )


def describe(thumb: np.ndarray, mask: np.ndarray | None, edge: int) -> dict[str, np.ndarray]:
    """Cues that need pixels, as float32 vectors.

    Args:
        thumb: (64, 64, 3) uint8, the picture, squashed.
        mask: (64, 64) uint8, 255 = object; or None.
        edge: cells around the object that count as object, so that its rim does not pass for background.
    """
    pixels = thumb.astype(np.float32) / 255
    sides = (pixels[:_FRAME], pixels[-_FRAME:], pixels[:, :_FRAME], pixels[:, -_FRAME:])
    frame = np.concatenate([side.reshape(-1, 3) for side in sides])
    found = {
        "mean colour": pixels.mean((0, 1)),
        "border": np.concatenate([frame.mean(0), frame.std(0), *(side.mean((0, 1)) for side in sides)]),
    }
    if mask is not None and mask.any():
        rows, columns = np.nonzero(mask > 127) if (mask > 127).any() else np.nonzero(mask)
        box = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        found["object"] = np.array([mask.mean() / 255, rows.mean(), columns.mean(), *box], dtype=np.float32)
        outside = ndimage.maximum_filter(mask, 2 * edge + 1) == 0
        if outside.mean() >= _LEAST_BACKGROUND:
            # Mean, standard deviation and a histogram of 4 x 4 x 4 colours.
            seen = thumb[outside]
            bins = (seen >> 6).astype(np.int64) @ np.array([16, 4, 1])
            scaled, histogram = seen / 255, np.bincount(bins, minlength=64) / len(seen)
            found["background"] = np.concatenate([scaled.mean(0), scaled.std(0), histogram]).astype(
                np.float32
            )
    return found
