"""The fault of the published program as a control: training and validation pictures drawn anew at every entry."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from foveate.core import config as core
from foveate.core.rng import numpy_generator
from foveate.data.epoch_change import Change
from foveate.feedback import FEEDBACKS, Feedback, Moment, TrainingPictures
from foveate.feedback.proxy_attention import Entry, check_epochs, ends_of
from foveate.models.networks import Network


class LeakingResplit(Feedback):
    """A LEAK, only to measure what it gives: validation pictures are trained on, drawn anew at every schedule entry.

    In each entry but the last, a random part of the training and validation pictures together is trained on, of each
    class as many as train; in the last entry it is the run's own training pictures. The published program draws both
    halves anew in every entry and reports the last one's validation accuracy: which entry's draw is the run's own split
    makes no difference. So ``val`` accuracy is the published figure, of pictures of which 1 - (1 - r)^(entries - 1)
    were trained on before (r: the training pictures' share of both), and ``test`` accuracy the honest one: test
    pictures are never shown. There are no proxies.
    """

    class Config(core.Config):
        kind: Literal["leaking_resplit"] = "leaking_resplit"
        schedule: tuple[Entry, ...] = Field(default=(20, "p", 19), min_length=1, max_length=1000)
        """As of proxy_attention; p is an epoch like any other."""

    changes_pictures = True
    """Features are stored of the training pictures alone."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def check(self, epochs: int) -> None:
        """See ``Feedback.check``."""
        check_epochs(self.config.kind, self.config.schedule, epochs)

    def between(self, moment: Moment, network: Network, pictures: TrainingPictures) -> Change | None:
        """Another order every epoch, other pictures every entry."""
        ends = ends_of(self.config.schedule)
        entry = sum(end <= moment.epoch for end in ends)
        if entry >= len(ends) - 1:
            return Change(leaks=True) if len(ends) > 1 and moment.epoch == ends[-2] else None
        rng = numpy_generator(moment.seed, "leaking resplit", entry)
        shown = redrawn(pictures.rows, pictures.validation, pictures.labels, rng)
        return Change(order=moment.rng("order").permutation(shown), leaks=True)


def redrawn(
    train: np.ndarray, validation: np.ndarray, labels: Sequence[int] | np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(n,) rows drawn from ``train`` (n,) and ``validation`` together, of each class as many as ``train`` has."""
    pool, known = np.concatenate([train, validation]), np.asarray(labels)
    return np.concatenate(
        [
            rng.permutation(pool[known[pool] == label])[: int((known[train] == label).sum())]
            for label in np.unique(known[train])
        ]
    )


FEEDBACKS.adopt(LeakingResplit)
