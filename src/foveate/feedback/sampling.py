"""How often pictures are shown: those of each class or group, and those that an early network gets wrong."""

from collections import Counter
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from foveate.core import config as core
from foveate.core.errors import ConfigError
from foveate.data.epoch_change import Change
from foveate.feedback.feedback import Feedback, Moment, Seen, TrainingPictures
from foveate.models.networks import Network


class ClassSampling(Feedback):
    """From an epoch on, classes are drawn by a power of their size: square-root sampling, class-balanced sampling.

    p_c ~ n_c^q, n_c being the training pictures of class c; q = 1: as they come (instance-balanced); q = 1/2:
    square-root sampling; q = 0: class-balanced. Within a class every
    picture is equally likely, so a picture's weight is n_c^(q - 1). By an attribute c is a group: the pictures of one
    class with one value of it, unknown values being one; with q = 0 what goes with the class by chance no longer does.

    Sources: Kang et al., Decoupling representation and classifier for long-tailed recognition, ICLR 2020, equation 1;
    groups: Idrissi et al., Simple data balancing achieves competitive worst-group-accuracy, CLeaR 2022 (RWG).
    """

    class Config(core.Config):
        kind: Literal["class_sampling"] = "class_sampling"
        power: float = Field(default=0.5, ge=0, le=1)
        """q."""
        start: int = Field(default=0, ge=0, le=100_000)
        """Epochs (over all phases) that come first, with every picture once."""
        by: Annotated[str | None, core.Mark.LATER] = None
        """An attribute of the pictures (``data.layout.attributes``); None = classes alone."""

        def consumes(self) -> tuple[str, ...]:
            return () if self.by is None else ("attribute labels",)

    def __init__(self, config: Config) -> None:
        self.config = config

    def check(self, epochs: int) -> None:
        """See ``Feedback.check``: it begins before training ends."""
        if self.config.start >= epochs:
            raise ConfigError(
                f"class_sampling starts after {self.config.start} epochs, and the phases have {epochs}; set a smaller "
                "start."
            )

    def between(self, moment: Moment, network: Network, pictures: TrainingPictures) -> Change | None:
        """The same weights from ``start`` on."""
        attribute = self.config.by
        if attribute is not None and attribute not in pictures.attributes:
            known = ", ".join(pictures.attributes) or "none"
            raise ConfigError(
                f"Class sampling is asked for by the attribute '{attribute}', but the pictures have {known}; name it "
                "in data.layout.attributes (--attribute)."
            )
        if moment.epoch != self.config.start:
            return None
        labels = pictures.labels[pictures.rows].tolist()
        values = [""] * len(labels)
        if attribute is not None:
            values = [pictures.attributes[attribute][row] for row in pictures.rows]
        pairs = list(zip(labels, values, strict=True))
        counts = Counter(pairs)
        weights = np.zeros(len(pictures.labels))
        weights[pictures.rows] = np.array([counts[pair] for pair in pairs]) ** (self.config.power - 1.0)
        return Change(weights=weights)


class Upweighting(Feedback):
    """Training pictures that were answered wrong in one early epoch are drawn more often from then on.

    As ``jtt``, but the same network goes on, and what counts is the answer during training, in the last step that
    showed the picture. Where no picture was wrong nothing changes.
    """

    class Config(core.Config):
        kind: Literal["upweighting"] = "upweighting"
        epoch: int = Field(default=1, ge=1, le=100_000)
        """The epoch (over all phases, from 1) whose errors count: T of ``jtt``."""
        factor: float = Field(default=6.0, gt=0)
        """lambda of ``jtt``, whose authors chose between 4 and 100 on validation pictures."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._wrong: dict[int, bool] = {}

    def see(self, seen: Seen) -> None:
        """Remember the last answer to every picture."""
        self._wrong.update(zip(seen.index.tolist(), seen.wrong.tolist(), strict=True))

    def between(self, moment: Moment, network: Network, pictures: TrainingPictures) -> Change | None:
        """Weights after epoch ``epoch``; forgets the answers of every epoch."""
        wrong = [row for row, error in self._wrong.items() if error]
        self._wrong = {}
        if moment.epoch != self.config.epoch or not wrong:
            return None
        weights = np.zeros(len(pictures.labels))
        weights[pictures.rows] = 1.0
        weights[wrong] = self.config.factor
        return Change(weights=weights)

    def state(self) -> dict[str, torch.Tensor]:
        """(n, 2): row, wrong."""
        answers = list(self._wrong.items())
        return {"answers": torch.tensor(answers, dtype=torch.int64).reshape(len(answers), 2)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self._wrong = {row: bool(wrong) for row, wrong in state["answers"].tolist()}
