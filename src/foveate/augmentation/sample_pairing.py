"""SamplePairing: another picture shines through, the label stays."""

from typing import Literal

import numpy as np
from pydantic import Field, model_validator
from torch import nn

from foveate.augmentation.pairs import Counts, partner_of
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class SamplePairing:
    """The mean of two pictures, with the label of the first; for epochs at a time, between which it rests.

    Off at first, then ``on`` epochs on and ``off`` epochs off in turn, off again at last (fine-tuning). In the paper
    100 epochs come first, 8 and 2 take turns, and training ends without; of how many epochs was not recovered, so
    ``start`` and ``stop`` are shares of the training, and ours. The mask stays the first picture's, as the label does.

    Source: Inoue, Data augmentation by pairing samples for images classification, 2018 (arXiv 1801.02929). In place.
    """

    class Config(Settings):
        kind: Literal["sample_pairing"] = "sample_pairing"
        start: float = Field(default=0.1, ge=0, le=1)
        """Share of the training that comes first without it."""
        stop: float = Field(default=0.8, ge=0, le=1)
        """Share of the training after which it stays off."""
        on: int = Field(default=8, ge=1, le=100_000)
        """Epochs with it."""
        off: int = Field(default=2, ge=0, le=100_000)
        """Epochs without it after those; of every ``on + off`` epochs, counted from the first of all, the last."""

        @model_validator(mode="after")
        def _ordered(self) -> "SamplePairing.Config":
            if self.start > self.stop:
                raise ValueError(f"start {self.start} comes after stop {self.stop}")
            return self

    def __init__(self, config: Config, counts: Counts) -> None:
        self.config = config

    def active(self, progress: Progress) -> bool:
        """Whether pictures are paired now."""
        config = self.config
        turn = progress.epoch % (config.on + config.off) < config.on
        return config.start <= progress.training < config.stop and turn

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        if self.active(progress):
            batch.images.lerp_(batch.images[partner_of(batch, rng)], 0.5)
        return batch
