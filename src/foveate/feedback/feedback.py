"""Feedback: what training has seen decides what it shows next."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from foveate.core.rng import numpy_generator
from foveate.data.batch import Batch
from foveate.data.cache import Pictures
from foveate.data.epoch_change import Change
from foveate.models.networks import Network


@dataclass(frozen=True)
class Seen:
    """One batch of training, of all processes."""

    index: torch.Tensor
    """(B,) int64, rows of the catalog."""
    targets: torch.Tensor
    """(B,) int64, or (B, C) float where labels were mixed."""
    logits: torch.Tensor
    """(B, C) float32, before the step, in training mode; detached, on the CPU."""

    @property
    def wrong(self) -> torch.Tensor:
        """(B,) bool: another class than the label (the largest share of it) has the largest logit."""
        labels = self.targets.argmax(dim=1) if self.targets.is_floating_point() else self.targets
        return self.logits.argmax(dim=1) != labels


@dataclass(frozen=True)
class Moment:
    """The moment between two epochs."""

    epoch: int
    """Epochs done so far, over all phases; 0 = before the first."""
    phase: str
    """The phase of the epoch that comes."""
    phase_epoch: int
    """Epochs of that phase done so far."""
    seed: int
    change: Change = field(default_factory=Change)
    """What this feedback has shown so far."""

    def rng(self, *purpose: int | str) -> np.random.Generator:
        """Random numbers of this moment alone, so that a run that goes on draws the same."""
        return numpy_generator(self.seed, "feedback", self.epoch, *purpose)


@dataclass(frozen=True)
class TrainingPictures:
    """The training pictures as they are, not augmented and not changed."""

    pictures: Pictures
    """Of the whole catalog; ``size`` is the side that other pictures must have."""
    rows: np.ndarray
    """(n,) rows of the catalog that are trained on."""
    labels: np.ndarray
    """(N,) int64 over the catalog."""
    paths: Sequence[str]
    """(N,) over the catalog."""
    classes: int
    prepared: Callable[[np.ndarray], Iterator[Batch]]
    """Rows (m,) -> batches in this order, resized and normalised as in evaluation, on the network's device."""
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """{attribute: (N,) values over the catalog, "" = unknown}."""
    validation: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """(m,) rows that are validated on; only a control that shows a leak has a use for them."""
    folder: Path | None = None
    """Where a feedback may keep files until training ends; None = nowhere."""


class Feedback:
    """Override what you need. Its settings are its ``Config``; it is built as ``(config)``.

    The loop calls ``see`` in every step and ``between`` before every epoch; a change stays in effect until the next.
    Whatever a feedback remembers belongs into ``state``, or a run that was killed cannot go on as if it were not.
    With several processes the main one sees the batches of all and computes; the others get its change.
    """

    changes_pictures = False
    """Whether it shows other pictures; then features of a frozen backbone cannot be stored."""
    restarts = False
    """Whether it has training start again (``Change.restart``)."""

    def check(self, epochs: int) -> None:
        """Before the first epoch: whether it fits a training of at most so many epochs.

        Raises:
            ConfigError: it does not.
        """

    def see(self, seen: Seen) -> None:
        """A training step was computed."""

    def between(self, moment: Moment, network: Network, pictures: TrainingPictures) -> Change | None:
        """What the coming epochs show; None leaves it as it is.

        The network is in evaluation mode and its parameters take no gradients; it is put back afterwards.
        """
        return None

    def state(self) -> dict[str, torch.Tensor]:
        """All that it remembers, for the checkpoint."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what ``state`` gave."""
