"""Pictures inside the page: thumbnails and map overlays as small JPEG data URIs."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from foveate.data.decode import DecodeError, read_image
from foveate.reporting.overlays import overlay

THUMBNAIL = 220
"""Longest side of a thumbnail in pixels."""


def data_uri(image: Image.Image, quality: int = 80) -> str:
    """JPEG data URI of an RGB picture."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def thumbnail(path: Path, side: int = THUMBNAIL) -> tuple[str | None, str]:
    """(data URI, "") of the picture at ``path``; or (None, reason in words)."""
    if not path.exists():
        return None, "picture no longer at its place"
    try:
        image = read_image(path, at_least=2 * side)
    except DecodeError as error:
        large = isinstance(error.__cause__, Image.DecompressionBombError)
        return None, "picture too large to draw" if large else "picture cannot be read"
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return data_uri(image), ""


def scaled(
    image: Image.Image, side: int, resampling: Image.Resampling = Image.Resampling.LANCZOS
) -> Image.Image:
    """The picture with ``side`` px on its longest side."""
    width, height = (max(1, round(length * (side / max(image.size)))) for length in image.size)
    return image.resize((width, height), resampling)


def gallery_picture(
    image: np.ndarray, mask: np.ndarray | None, values: np.ndarray | None, side: int = THUMBNAIL
) -> str:
    """A picture with the outline of its mask, tinted by a map if one is given, as a data URI.

    image (H, W, 3) uint8; mask (H, W) uint8 or None; values (h, w) in [0, 1] or None.
    """
    return data_uri(outlined(image, mask, side, values), quality=82)


def outlined(
    image: np.ndarray, mask: np.ndarray | None, side: int, values: np.ndarray | None = None
) -> Image.Image:
    """The picture of ``gallery_picture``, its longest side ``side`` px."""
    shown = scaled(Image.fromarray(image), side, Image.Resampling.BICUBIC)
    size = shown.size
    if values is not None:
        full = Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
        shown = overlay(shown, np.asarray(full))
    picture = np.asarray(shown, dtype=np.float64)
    if mask is not None and mask.any():
        inside = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR)) >= 128
        edge = inside & ~binary_erosion(inside, iterations=2, border_value=1)
        # A white line with a dark one around it can be seen on anything; softened, or its steps would show.
        for line, value, strength in ((binary_dilation(edge, iterations=2), 0.0, 0.55), (edge, 255.0, 1.0)):
            alpha = strength * gaussian_filter(line.astype(np.float64), 0.8)[..., None].clip(0, 1)
            picture = (1 - alpha) * picture + alpha * value
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))
