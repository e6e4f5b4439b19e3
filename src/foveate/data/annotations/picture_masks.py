"""Masks that are pictures: ordinary ones and label maps, trimaps, part masks, copies on black."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from foveate.data.annotations.mask_values import listed, mask_values, object_of
from foveate.data.annotations.reader import Drawn, MaskError, MaskReference, Reader, Size
from foveate.data.decode import DecodeError, load_image, upright
from foveate.data.shapes import close

BLACK_LOSSLESS, BLACK_JPEG = 4, 20
"""Brightest channel up to which a pixel counts as black background."""
BLUE, BLUE_LOSSLESS, BLUE_JPEG = (0, 0, 254), 4, 80
"""The blue of Flowers-102's segmentations, and how far a channel may be from it."""
SPECK = 1e-4
"""Objects of a copy on black or blue smaller than this share of the picture are compression noise."""
SEPARATOR = "|"
"""Between several files of one picture."""


Select = Callable[[Image.Image, bool, tuple[int, ...]], Drawn]
"""(upright mask picture, whether it was a JPEG, values that the reference names) -> the object in it."""


class FileReader(Reader):
    """One mask file, or several that are united, and closed where they are parts."""

    def __init__(self, select: Select, *, closed: bool = False) -> None:
        self.select, self.closed = select, closed

    def read(self, root: Path, reference: MaskReference, picture: Size) -> Drawn:
        drawn = [self._one(root / file, reference) for file in self.files(reference)]
        if len({part.mask.shape for part in drawn}) > 1:
            sizes = ", ".join(f"{part.mask.shape[1]} x {part.mask.shape[0]}" for part in drawn)
            raise MaskError(reference.payload, f"its parts have different sizes ({sizes})")
        mask = np.logical_or.reduce([part.mask for part in drawn])
        how = next((part.how for part in drawn if part.how), "")
        return Drawn(close(mask) if self.closed else mask, how)

    def files(self, reference: MaskReference) -> list[str]:
        named = [file for file in reference.payload.split(SEPARATOR) if file]
        if not named:
            raise MaskError(str(reference), "it names no file")
        return named

    def _one(self, path: Path, reference: MaskReference) -> Drawn:
        try:
            with load_image(path) as image:
                lossy = image.format in ("JPEG", "MPO")
                return self.select(upright(image), lossy, reference.values)
        except DecodeError as error:
            raise MaskError(error.path, error.reason) from error


def png(image: Image.Image, lossy: bool, values: tuple[int, ...]) -> Drawn:
    """An ordinary mask picture, or chosen values of a label map."""
    grey = mask_values(image)
    return Drawn(listed(grey, values, lossy=lossy)) if values else Drawn(*object_of(grey, lossy=lossy))


def soft(image: Image.Image, lossy: bool, values: tuple[int, ...]) -> Drawn:
    """What several people marked, from 0 to 255: object is what most did (CUB-200-2011's segmentations)."""
    return Drawn(np.asarray(mask_values(image) > 127))


def trimap(image: Image.Image, lossy: bool, values: tuple[int, ...]) -> Drawn:
    """Oxford-IIIT Pet trimaps (1 object, 2 background, 3 border), or 0 background, 128 border, 255 object."""
    grey = mask_values(image)
    return Drawn(np.isin(grey, (1, 3)) if grey.max() <= 3 else np.asarray(grey >= 64))


def black(image: Image.Image, lossy: bool, values: tuple[int, ...]) -> Drawn:
    """A copy of the picture whose background was painted black."""
    brightest = np.asarray(image.convert("RGB")).max(axis=2)
    kept = _without_specks(brightest > (BLACK_JPEG if lossy else BLACK_LOSSLESS))
    return Drawn(np.asarray(ndimage.binary_fill_holes(kept)))


def blue(image: Image.Image, lossy: bool, values: tuple[int, ...]) -> Drawn:
    """A copy of the picture whose background was painted blue; what shows between petals is background."""
    distance = np.abs(np.asarray(image.convert("RGB")).astype(np.int16) - BLUE).max(axis=2)
    return Drawn(_without_specks(distance > (BLUE_JPEG if lossy else BLUE_LOSSLESS)))


def _without_specks(marked: np.ndarray) -> np.ndarray:
    found, count = ndimage.label(marked, np.ones((3, 3)))
    keep = np.bincount(found.ravel(), minlength=count + 1) >= SPECK * found.size
    keep[0] = False  # the background
    return keep[found]
