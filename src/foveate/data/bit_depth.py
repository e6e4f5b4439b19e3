"""Pictures of more than 8 bits a channel, which Pillow opens by half or not at all -> 8 bits.

Pillow knows no colour of 16 bits: it keeps the upper byte of each channel, so that the 12 bits of a camera come out
black. Decoded once more with the bytes swapped it keeps the lower byte. TIFFs of another build (colour as floats, one
plane after another) are read by tifffile.
"""

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# It would print warnings about damaged files, which become errors of ours. Who wants its log still gets it.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

DEEP = "foveate_deep"
"""Key of ``Image.info``: had more than 8 bits a channel."""
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_GREY_AND_ALPHA = "LA;16B"
_PLANES = 2
"""TIFF's PlanarConfiguration of one plane after another."""


def is_deep(image: Image.Image) -> bool:
    """Whether an open picture has more than 8 bits a channel; from the header, before it is decoded."""
    return (
        image.mode[0] in "IF" or image.info.get(DEEP, False) or any("16" in raw for raw, _ in _tiles(image))
    )


def _tiles(image: Any) -> list[tuple[str, Any]]:
    """(how its bytes are written, the piece) of each piece of the file that Pillow decodes; "" where it is not said."""
    pieces = getattr(image, "tile", [])
    return [(str(p.args if isinstance(p.args, str) else p.args[0]) if p.args else "", p) for p in pieces]


def low_tiles(image: Image.Image) -> list[Any]:
    """The pieces of an open picture that is not decoded yet, such that Pillow decodes the lower bytes of its channels.

    Empty where there are none, or Pillow keeps all 16 bits itself (grey).
    """
    tiles = []
    for raw, tile in _tiles(image) if image.mode in ("RGB", "RGBA") else []:
        if raw == _GREY_AND_ALPHA:
            raw = "RGBA"  # grey high, grey low, alpha high, alpha low
        elif raw[:-1] in ("RGB;16", "RGBA;16", "RGBX;16") and raw[-1] in _SWAPPED:
            raw = raw[:-1] + _SWAPPED[raw[-1]]
        else:
            return []
        tiles.append(tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:])))
    return tiles


def whole(high: Image.Image, low: Any, tiles: list[Any]) -> Image.Image:
    """The 8-bit RGB or RGBA picture of 16 bits.

    Args:
        high: as Pillow decodes it.
        low: the same file opened again; it is decoded here.
        tiles: see ``low_tiles``.
    """
    both = _tiles(low)[0][0] == _GREY_AND_ALPHA
    low.tile = tiles
    low.load()
    upper, lower = np.asarray(high).astype(np.uint16), np.asarray(low).astype(np.uint16)
    if both:
        upper, lower = lower[..., [0, 0, 0, 2]], lower[..., [1, 1, 1, 3]]
    pixels = to_8bit((upper * 256 + lower)[..., :3])
    if high.mode == "RGBA":
        pixels = np.dstack([pixels, upper[..., 3].astype(np.uint8)])
    return Image.fromarray(pixels)


def needs_tifffile(image: Image.Image) -> bool:
    """Whether Pillow misreads an open TIFF: planes of more than 8 bits, or bands of which it sees the first only."""
    tags = getattr(image, "tag_v2", None)
    if image.format != "TIFF" or tags is None:
        return False
    planes = tags.get(284, 1) == _PLANES and max(tags.get(258, (1,))) > 8
    return bool(planes or (tags.get(277, 1) > 1 and len(image.getbands()) == 1 and image.mode != "P"))


def read_tiff(path: Path, most: int) -> tuple[Image.Image, int]:
    """The first page of a TIFF as 8-bit RGB, as it is stored; and its orientation, 1 to 8 as in EXIF.

    Args:
        path: the file.
        most: pixels above which it is refused.

    Raises:
        ValueError: too large, or bands of which it is not said which are red, green and blue.
        Exception: damaged, or a compression that is not known here; tifffile raises nearly everything.
    """
    import tifffile  # takes as long to import as all else here together

    kinds = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        if page.imagewidth * page.imagelength > most:
            raise ValueError(f"it has more than {most:,} pixels")
        axes, photometric, kind = page.axes, tifffile.PHOTOMETRIC(page.photometric), np.dtype(page.dtype)
        if axes not in ("YX", "YXS", "SYX") or photometric not in kinds or kind.kind not in "uif":
            raise ValueError(
                f"it is a TIFF of {kind}, {photometric.name}, axes {axes}; save it as grey or RGB"
            )
        turn = page.tags.valueof(274, 1)
        values = page.asarray()
    values = np.moveaxis(values, 0, 2) if axes == "SYX" else np.atleast_3d(values)
    bands = values.shape[2]
    if bands not in (1, 3) and photometric != tifffile.PHOTOMETRIC.RGB:
        raise ValueError(
            f"it has {bands} bands and does not say which are red, green and blue; save those alone"
        )
    return Image.fromarray(to_8bit(values[..., [0, 0, 0] if bands == 1 else [0, 1, 2]])), turn


def to_8bit(values: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3) 16- or 32-bit integers or floats -> the same shape in uint8.

    Black is 0; white is the smallest of 1 (floats only), 255, 4095 and 65535 that holds every value:
    cameras store 12 bits in 16-bit files, which would come out almost black on the full scale, while a
    limit taken from each picture would change its brightness against its neighbours. With values below 0 or
    above 65535: from minimum to maximum. NaN and infinity become 0.
    """
    whites = (1.0, 255.0, 4095.0, 65535.0) if values.dtype.kind == "f" else (255.0, 4095.0, 65535.0)
    values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    white = next((white for white in whites if low >= 0 and high <= white), None)
    if white is None:
        values, white = values - low, (high - low) or 1.0
    return np.rint(values / white * 255).astype(np.uint8)
