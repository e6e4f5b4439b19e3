"""Pictures that an early network gets wrong are shown more often."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from foveate.core import config as core
from foveate.data.epoch_change import Change
from foveate.feedback.feedback import Feedback, Moment, Seen, TrainingPictures
from foveate.models.networks import Network


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
        """See ``state``."""
        self._wrong = {row: bool(wrong) for row, wrong in state["answers"].tolist()}
