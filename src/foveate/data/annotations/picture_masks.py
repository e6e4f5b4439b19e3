"""Masks that are pictures: ordinary ones and label maps, trimaps, part masks, copies on black."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

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


JPEG_TOLERANCE = 20
"""How far a JPEG may move a listed mask value."""
FEW = 16
"""A mask with more different values than this, up into the upper half of the scale, is soft and not a label map."""
SMALL_LABEL = 64
"""Beside labels below this, 255 is no label but void."""
VOID = 255

Select = Callable[[Image.Image, bool, tuple[int, ...]], Drawn]
"""(upright mask picture, whether it was a JPEG, values that the reference names) -> the object in it."""


class FileReader(Reader):
    """One mask file, or several that are united, and closed where they are parts."""

    def __init__(self, select: Select, *, closed: bool = False) -> None:
        self.select, self.closed = select, closed

    def read(self, root: Path, reference: MaskReference, picture: Size) -> Drawn:
        drawn = []
        try:
            for file in self.files(reference):
                with load_image(root / file) as image:
                    lossy = image.format in ("JPEG", "MPO")
                    drawn.append(self.select(upright(image), lossy, reference.values))
        except DecodeError as error:
            raise MaskError(error.path, error.reason) from error
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


def png(image: Image.Image, lossy: bool, values: tuple[int, ...]) -> Drawn:
    """An ordinary mask picture, or chosen values of a label map; of a JPEG within ``JPEG_TOLERANCE`` of one."""
    grey = mask_values(image)
    if not values:
        return Drawn(*object_of(grey, lossy=lossy))
    if not lossy:
        return Drawn(np.isin(grey, values))
    distances = [np.abs(grey.astype(np.int64) - value) for value in values]
    return Drawn(np.min(distances, axis=0) <= JPEG_TOLERANCE)


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


def mask_values(image: Image.Image) -> np.ndarray:
    """(h, w) numbers of a mask picture, whatever its mode.

    Palette: the grey values when the palette is grey, else the indices (label maps of PASCAL VOC are such).
    With real transparency: 255 where it is opaque. Colour: the brightest channel.
    """
    if image.mode == "P" and "transparency" not in image.info:
        indices = np.asarray(image)
        palette = np.asarray(image.convert("RGB"))
        return palette[..., 0] if (np.ptp(palette, axis=2) == 0).all() else indices
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("RGBA"))
        alpha = pixels[..., 3]
        return pixels[..., :3].max(axis=2) if alpha.min() == 255 else np.where(alpha > 127, 255, 0)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode == "L" or image.mode.startswith("I") or image.mode == "F":
        return np.asarray(image)
    return np.asarray(image.convert("RGB")).max(axis=2)


def object_of(values: np.ndarray, *, lossy: bool) -> tuple[np.ndarray, str]:
    """(h, w) bool, True = object, of the numbers of a mask picture; and how they were understood.

    - one or two values, one of them 0: what is not 0; nothing to say ("").
    - "soft": more than ``FEW`` values up into the upper half of the scale, fractions (0 to 1), or a JPEG: what is
      above the middle of the scale (255, 65535 or 1; of a dark JPEG above half of its brightest value).
      Below ``JPEG_TOLERANCE`` a JPEG is no soft mask but one of labels.
    - "labels": else, what is not 0.
    - "void": the same, but 255 beside labels below ``SMALL_LABEL`` that cover more than it does: it is no object.
    - "no zero": two or more values and none is 0: the value that lines most of the picture's edge is background.

    NaN counts as 0.
    """
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0)
    found = np.unique(values)
    brightest = found[-1]
    if len(found) == 1:
        return values != 0, ""
    if len(found) > 2:
        fractions = values.dtype.kind == "f" and found[0] >= 0 and brightest <= 1
        scale = 1 if fractions else 255 if brightest <= 255 else 65535
        if lossy and brightest > JPEG_TOLERANCE:
            return values > min(brightest, scale) / 2, "soft"
        if fractions or (len(found) > FEW and scale / 2 < brightest <= scale):
            return values > scale / 2, "soft"
    background = 0
    if (
        0 not in found
    ):  # the value that lines most of the picture's edge; the larger of two that line it alike
        edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
        lining, counts = np.unique(edge, return_counts=True)
        background = lining[len(lining) - 1 - int(np.argmax(counts[::-1]))].item()
    inside = values != background
    labels = found[(found != background) & (found != VOID)]
    if VOID in found and background != VOID and len(labels) and (labels < SMALL_LABEL).all():
        void = values == VOID
        if 2 * void.sum() < inside.sum():
            return inside & ~void, "void"
    how = "no zero" if background != 0 else "labels" if len(found) > 2 else ""
    return inside, how
