"""Which pixels of a mask picture are object, when nobody said which values mean it."""

import numpy as np
from PIL import Image

JPEG_TOLERANCE = 20
"""How far a JPEG may move a listed mask value."""
FEW = 16
"""A mask with more different values than this, up into the upper half of the scale, is soft and not a label map."""
SMALL_LABEL = 64
"""Beside labels below this, 255 is no label but void."""
VOID = 255


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


def listed(values: np.ndarray, wanted: tuple[int, ...], *, lossy: bool) -> np.ndarray:
    """(h, w) bool: the pixels with one of the values ``wanted``; within ``JPEG_TOLERANCE`` of one when ``lossy``."""
    if not lossy:
        return np.isin(values, wanted)
    near = np.zeros(values.shape, dtype=bool)
    for value in wanted:
        near |= np.abs(values.astype(np.int64) - value) <= JPEG_TOLERANCE
    return near


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
    background = 0 if 0 in found else _along_edge(values)
    inside = values != background
    labels = found[(found != background) & (found != VOID)]
    if VOID in found and background != VOID and len(labels) and (labels < SMALL_LABEL).all():
        void = values == VOID
        if 2 * void.sum() < inside.sum():
            return inside & ~void, "void"
    how = "no zero" if background != 0 else "labels" if len(found) > 2 else ""
    return inside, how


def _along_edge(values: np.ndarray) -> float:
    """The value that lines most of the picture's edge; the larger of two that line it alike."""
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    found, counts = np.unique(edge, return_counts=True)
    return found[len(found) - 1 - int(np.argmax(counts[::-1]))].item()
