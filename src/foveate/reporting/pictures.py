"""Pictures inside the page: thumbnails and map overlays as small JPEG data URIs."""

import base64
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from foveate.reporting.overlays import overlay

THUMBNAIL = 220
"""Longest side of a thumbnail in pixels."""


def data_uri(image: Image.Image, quality: int = 80) -> str:
    """JPEG data URI of an RGB picture."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def thumbnail(path: Path, side: int = THUMBNAIL) -> tuple[str | None, str]:
    """(data URI, "") of the picture at ``path``, upright by its EXIF; or (None, reason in words)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.draft("RGB", (2 * side, 2 * side))  # large JPEG: decode at a fraction of the size
                image = ImageOps.exif_transpose(opened)
                image = _rgb(image)
                image.thumbnail((side, side), Image.Resampling.LANCZOS)
    except FileNotFoundError:
        return None, "picture no longer at its place"
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return None, "picture too large to draw"
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError):
        return None, "picture cannot be read"
    return data_uri(image), ""


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image, dtype=np.float64)
        values = (values - values.min()) / max(float(np.ptp(values)), 1e-12) * 255
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


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
    scale = side / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    shown = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
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
