"""One pass over the pictures: each is decoded once, and everything the audit needs is derived from that."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from PIL import ExifTags, Image

from foveate.data import decode, deep
from foveate.data.audit.cues import THUMB, describe
from foveate.data.audit.masks import MaskFacts, look_at_mask
from foveate.data.catalog import Catalog

GREY_SIDE = 32
_PIECE = 512
_FLAT = 1.5  # standard deviation of the grey thumbnail, in 0..255
_COLOURLESS = 1.5  # mean spread of the three channels, in 0..255; JPEG alone stays below
_SECOND_FRAME_IS_NO_ANIMATION = {"MPO"}  # a JPEG with a preview or a stereo partner


@dataclass(frozen=True, slots=True)
class Facts:
    """What one decoding gave. Without a decoded picture ``failure`` holds (code, reason), and the rest is
    empty."""

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
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Facts]:
    """Look at every picture and its mask; one entry per row of the catalog.

    Threads suffice: Pillow and hashlib release the interpreter lock while they decode, resize and hash.
    """

    def one(row: int) -> Facts:
        sample = catalog.samples[row]
        return look(catalog.file(row), catalog.root, sample.mask, mask_edge)

    facts: list[Facts] = []
    greys = np.empty((len(catalog), GREY_SIDE, GREY_SIDE), dtype=np.uint8)
    with decode.quiet_pillow(), ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(catalog), _PIECE):  # in pieces, so that waiting work does not pile up
            for found in pool.map(one, range(start, min(start + _PIECE, len(catalog)))):
                row = len(facts)
                greys[row] = found.grey
                # Trap: small arrays that threads made amid large ones keep the pages around them: six times the memory.
                own = {name: vector.copy() for name, vector in found.cues.items()}
                facts.append(replace(found, grey=greys[row], cues=own))
                if progress is not None:
                    progress("pictures", len(facts), len(catalog))
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
    is_deep = deep.is_deep(image)  # first: looking for EXIF decodes a PNG
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
