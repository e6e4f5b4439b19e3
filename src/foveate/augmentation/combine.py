"""Several transforms as one: all of them, or one of them, from an epoch on, with growing probability."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator
from torch import nn

from foveate.augmentation.mixing import Counts
from foveate.core.config import Config as Settings
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.data.batch import Batch

if TYPE_CHECKING:
    AnyTransform = Any  # the union of all, which the table of transforms fills in


class Combine:
    """Several batch transforms as one: one of them drawn for every batch, or all in turn; also only later or ever more.

    A member's own probability counts on top. With ``ramp`` the probability grows linearly with training: a curriculum
    whose pictures get harder, as in GridMask.
    """

    class Config(Settings):
        kind: Literal["combine"] = "combine"
        members: tuple["AnyTransform", ...]
        """The transforms, each with its settings; they may be combinations."""
        take: Literal["one", "all"] = "one"
        """One of them, or all in their order."""
        weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None
        """take "one": how likely each is, in any unit (None: all alike); "all": the probability of each (None: 1)."""
        p: float = Field(default=1.0, ge=0, le=1)
        """Probability of acting at all, for each batch."""
        start: int = Field(default=0, ge=0, le=100_000)
        """Epochs (over all phases) that come first without it."""
        ramp: float = Field(default=0.0, ge=0, le=1)
        """Share of the training over which ``p`` grows from 0; 0: at once. Half is usual."""

        @model_validator(mode="after")
        def _fitting(self) -> "Combine.Config":
            if not self.members:
                raise ValueError("members is empty; name the transforms that it combines")
            if self.weights is None:
                return self
            if len(self.weights) != len(self.members):
                raise ValueError(f"{len(self.weights)} weights for {len(self.members)} members")
            if self.take == "all" and max(self.weights) > 1:
                raise ValueError("with take 'all' weights are probabilities, at most 1")
            if self.take == "one" and not sum(self.weights) > 0:
                raise ValueError("with take 'one' some weight must be above 0")
            return self

        def check(self, epochs: int) -> None:
            """Raises ConfigError: it, or a combination within it, would not begin in so many epochs."""
            if self.start >= epochs:
                raise ConfigError(
                    f"The transform combine starts after {self.start} epochs, and the phases have {epochs}; set a "
                    "smaller start."
                )
            for member in self.members:
                if isinstance(member, Combine.Config):
                    member.check(epochs)

    def __init__(self, config: Config, counts: Counts) -> None:
        from foveate.augmentation import build_transforms

        self.config = config
        self.members = build_transforms(config.members, counts)
        self.makes_views = any(getattr(member, "makes_views", False) for member in self.members)

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        config = self.config
        grown = min(1.0, progress.training / config.ramp) if config.ramp else 1.0
        if progress.epoch < config.start or rng.random() >= config.p * grown:
            return batch
        weights = np.array(config.weights or [1.0] * len(self.members))
        if config.take == "one":
            taken = np.arange(len(weights)) == rng.choice(len(weights), p=weights / weights.sum())
        else:
            taken = rng.random(len(weights)) < weights
        for member, wanted in zip(self.members, taken, strict=True):
            if wanted:
                batch = member(batch, model, rng, progress)
        return batch
