"""What transforms that mix the pictures of a batch share: how often they act, and the classes of soft labels."""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from torch import nn

from foveate.augmentation.pairs import Counts
from foveate.core.config import Config
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class MixConfig(Config):
    """Settings that all of them have."""

    p: float = Field(default=1.0, ge=0, le=1)
    """Probability for each batch."""


class Mix:
    """Base: acts on a whole batch or leaves it as it is."""

    Config: ClassVar[type[MixConfig]]

    def __init__(self, config: Any, counts: Counts) -> None:
        self.config, self.classes = config, len(counts)

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        return self.mix(batch, model, rng) if rng.random() < self.config.p else batch

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        """The mixture, of a batch on which the transform acts."""
        raise NotImplementedError
