"""How often each class is shown: from as it comes to equally often."""

from typing import Literal

import numpy as np
from pydantic import Field

from foveate.core import config as core
from foveate.data.change import Change
from foveate.feedback.feedback import Feedback, Moment, TrainingPictures
from foveate.models.classifier import Classifier


class ClassSampling(Feedback):
    """From an epoch on, classes are drawn by a power of their size: square-root sampling, class-balanced sampling.

    p_c ~ n_c^q, n_c being the training pictures of class c; q = 1: as they come (instance-balanced); q = 1/2:
    square-root sampling; q = 0: class-balanced. Within a class every
    picture is equally likely, so a picture's weight is n_c^(q - 1).

    Source: Kang et al., Decoupling representation and classifier for long-tailed recognition, ICLR 2020, equation 1.
    """

    class Config(core.Config):
        kind: Literal["class_sampling"] = "class_sampling"
        power: float = Field(default=0.5, ge=0, le=1)
        """q."""
        start: int = Field(default=0, ge=0, le=100_000)
        """Epochs (over all phases) that come first, with every picture once."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def between(self, moment: Moment, network: Classifier, pictures: TrainingPictures) -> Change | None:
        """The same weights from ``start`` on."""
        if moment.epoch != self.config.start:
            return None
        counts = np.bincount(pictures.labels[pictures.rows], minlength=pictures.classes)
        weights = np.zeros(len(pictures.labels))
        weights[pictures.rows] = counts[pictures.labels[pictures.rows]] ** (self.config.power - 1.0)
        return Change(weights=weights)
