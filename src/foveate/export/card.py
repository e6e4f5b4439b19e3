"""What an exported network says about itself; it travels inside the file. Nothing here imports torch."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from foveate.core.config import Config
from foveate.core.files import SCHEMA_VERSION
from foveate.data.decode import read_image
from foveate.data.square import Fit, resize, whole
from foveate.evaluation.answer_rule import AnswerRule
from foveate.export.far import Far

KEY = "foveate"
"""Where the card stands among a file's metadata."""
INPUT = "images"
OUTPUTS = ("logits", "class_map", "features")

Share = Annotated[float, Field(ge=0, le=1)]


class Parity(Config):
    """How the exported network agreed with the run's own when it was written."""

    pictures: int = Field(ge=1)
    agreement: Share
    """Share of the pictures with the same first class."""
    difference: Share
    """Largest difference of a probability."""


class Answers(Config):
    """``evaluation.answer_rule.AnswerRule``, as it was when the network left."""

    level: Share
    n: int
    temperature: float = Field(gt=0)
    least_confidence: float
    least_probability: Share


class ExportCard(Config):
    """Everything that is needed to use the file: how pictures are prepared, what its outputs mean."""

    schema_version: int = Field(default=SCHEMA_VERSION, le=SCHEMA_VERSION)
    architecture: str
    network: str
    """Of ``models.networks``."""
    class_names: tuple[str, ...]
    class_ids: tuple[str, ...]
    size: int = Field(ge=1, le=4096)
    """Side in px of the squares that the network takes."""
    fit: Fit
    """How a picture is brought to the square (``data.square``), of side ``kept`` where that is set."""
    kept: int | None = Field(default=None, ge=8, le=4096)
    """Side in px of the square that is made first, and brought to ``size`` bilinearly."""
    tta: str = "none"
    """Test-time augmentation, which is part of the graph."""
    outputs: tuple[Literal["logits", "class_map", "features"], ...]
    """logits (B, C), logarithms of probabilities but for a constant; class_map (B, C, h, w), whose mean over the places
    is the logit without its bias; features (B, F), as the head receives them."""
    answers: Answers | None = None
    """When it is sure, by the validation pictures; None: they do not tell."""
    far: Far | None = None
    """How far pictures are from the training pictures; None: the network has no features, or there are too few."""
    parity: Parity | None = None
    version: str
    """Of Foveate."""

    @property
    def rule(self) -> AnswerRule | None:
        """``answers``, to judge predictions by."""
        return AnswerRule(**self.answers.model_dump()) if self.answers else None

    def square(self, path: Path) -> np.ndarray:
        """The file as the network takes it: (3, size, size) uint8, byte for byte as the run's own reader makes it.

        Raises:
            DecodeError: it cannot be read.
        """
        side = self.kept or self.size
        picture = resize(read_image(path, at_least=2 * whole(self.fit, side)[1]), side, self.fit)
        if side != self.size:
            picture = picture.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))
