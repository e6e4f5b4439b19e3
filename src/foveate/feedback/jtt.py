"""Just train twice: what a first, short training gets wrong is shown more often in a second one."""

from typing import Literal

import numpy as np
from pydantic import Field

from foveate.core import config as core
from foveate.core.errors import ConfigError
from foveate.data.epoch_change import Change
from foveate.feedback.feedback import Feedback, Moment, TrainingPictures
from foveate.models.networks import Network


class JustTrainTwice(Feedback):
    """What the network of an early epoch answers wrong is drawn more often in a second training (JTT).

    The second training starts from the first weights, as published; let the first one be a phase of its own (``epoch``
    epochs, ``restore_best: null``), so that the second has a whole schedule. Asked are the pictures as they are, not
    augmented. Where none is answered wrong training starts again all the same, with every picture once.
    The authors' second training repeats the pictures in longer epochs; here they are drawn, and epochs stay as long.

    Source: Liu et al., Just train twice, ICML 2021.
    """

    class Config(core.Config):
        kind: Literal["jtt"] = "jtt"
        epoch: int = Field(default=5, ge=1, le=100_000)
        """Epochs (over all phases) of the first training: T of the paper."""
        factor: float = Field(default=20.0, gt=0)
        """lambda of the paper, which chose between 4 and 100 on validation pictures."""
        restart: bool = True
        """False: the same network goes on."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.restarts = config.restart

    def check(self, epochs: int) -> None:
        if self.config.epoch >= epochs:
            raise ConfigError(
                f"The feedback 'jtt' begins its second training after epoch {self.config.epoch}, but there are "
                f"{epochs} epochs; lower its epoch, or add a phase."
            )

    def between(self, moment: Moment, network: Network, pictures: TrainingPictures) -> Change | None:
        """Weights once, after ``epoch``."""
        if moment.epoch != self.config.epoch:
            return None
        answers = [
            network(batch.images).logits.argmax(dim=1).cpu() for batch in pictures.prepared(pictures.rows)
        ]
        wrong = np.concatenate(answers) != pictures.labels[pictures.rows]
        weights = np.zeros(len(pictures.labels))
        weights[pictures.rows] = np.where(wrong, self.config.factor, 1.0)
        return Change(weights=weights if wrong.any() else None, restart=self.config.restart)
