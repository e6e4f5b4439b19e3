"""What transforms that hide parts of a picture share: which pictures, what fills the holes, the mask."""

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.chance import chosen, noise
from foveate.augmentation.pairs import Counts
from foveate.augmentation.warp import PIECE
from foveate.core.config import Config
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class EraseConfig(Config):
    """Settings that all of them have."""

    p: float = Field(default=1.0, ge=0, le=1)
    """Probability for each picture."""
    fill: Literal["mean", "noise"] = "mean"
    """What is put there: the mean colour of the normalisation, or normal noise for every pixel and channel."""


class Erase:
    """Base: holes filled, labels as they are. What is hidden is no object in the mask. In place."""

    Config: ClassVar[type[EraseConfig]]

    def __init__(self, config: Any, counts: Counts) -> None:
        self.config = config

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        some = chosen(rng, self.probability(progress), len(batch), batch.images)
        holes = self.holes(batch, rng) & some
        kept, hidden = (where.to(batch.images) for where in (~holes, holes))
        batch.images.mul_(kept)
        batch.masks.mul_(kept)
        if self.config.fill == "noise":
            # The noise of a few pictures serves the next few again: drawing it would take longer than all the rest.
            drawn = noise(rng, (min(PIECE, len(batch)), *batch.images.shape[1:]), batch.images)
            for part, where in zip(batch.images.split(PIECE), hidden.split(PIECE), strict=True):
                part.add_(drawn[: len(part)] * where)
        return batch

    def probability(self, progress: Progress) -> float:
        """Of acting on a picture."""
        return float(self.config.p)

    def holes(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        """(B, 1, H, W) bool: what is hidden where the transform acts."""
        raise NotImplementedError
