"""What one look at a picture and its mask gives: everything that the audit is derived from."""

from dataclasses import dataclass, field

import numpy as np

THUMB = 64
"""Side of the thumbnails that cues are computed from, in pixels."""
GREY_SIDE = 32
_FLAT = 1.5  # standard deviation of the grey thumbnail, in 0..255


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
    how: str = ""
    """How it was understood (``annotations.HOW``), when that was not plain."""
    thumb: np.ndarray | None = None
    """(64, 64) uint8, share of object in each cell, 0 to 255."""


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
