"""How far pictures are from training pictures, as it travels inside an exported network. Nothing here imports torch."""

import base64
from typing import Self

import numpy as np
from pydantic import Field

from foveate.core.config import Config
from foveate.core.nearest import distance_to_nth, unit


class Far(Config):
    """As ``experiment.familiarity`` says it, by fewer training pictures and by features rounded to whole numbers."""

    features: str
    """Of ``known`` training pictures, (known, F) int8 in base64; times ``scales`` of length 1, but for rounding."""
    scales: tuple[float, ...]
    neighbour: int = Field(ge=1, le=10_000)
    """Which nearest of them a picture's distance is taken to."""
    limit: float
    """The distance above which a picture is far."""
    rate: float = Field(ge=0, le=1)
    """The probability with which a picture like the validation pictures is called far, at most."""
    n: int = Field(ge=0, le=1_000_000_000)
    """Validation pictures that say so."""
    known: int = Field(ge=1, le=1_000_000)

    @classmethod
    def of(cls, train: np.ndarray, neighbour: int) -> Self:
        """From features (known, F) of training pictures; any picture is near still."""
        rows = unit(train)
        scales = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float32).tiny) / 127
        whole = np.round(rows / scales).astype(np.int8)
        return cls(
            features=base64.b64encode(whole.tobytes()).decode(),
            scales=tuple(float(f"{scale:.6g}") for scale in scales[:, 0]),
            neighbour=neighbour, limit=2.0, rate=0.0, n=0, known=len(train),
        )  # fmt: skip

    def distance(self, features: np.ndarray) -> np.ndarray:
        """(N, F) -> (N,) in [0, 2]."""
        whole = np.frombuffer(base64.b64decode(self.features), dtype=np.int8).reshape(self.known, -1)
        return distance_to_nth(whole * np.array(self.scales)[:, None], unit(features), self.neighbour)
