"""Which pictures a network answers, by thresholds that were found before; how they are found: ``answering``."""

import math
from dataclasses import dataclass, replace

import numpy as np

from foveate.evaluation.calibration import scale
from foveate.evaluation.predictions import PredictionTable


@dataclass(frozen=True)
class Judged:
    """What a rule says of N pictures."""

    confidence: np.ndarray
    """(N,) float64, of the predicted class, after temperature scaling."""
    answered: np.ndarray
    """(N,) bool; the network is not sure of the others."""
    possible: np.ndarray
    """(N, C) bool: the classes that a picture may be, at least the predicted one."""


@dataclass(frozen=True)
class AnswerRule:
    """What validation pictures say of a network's probabilities."""

    level: float
    """Share of right ones among the answers, and of sets that hold the true class, that is aimed at."""
    n: int
    """Labelled validation pictures that it is made from."""
    temperature: float
    least_confidence: float
    """The network answers from here on; above 1: it answers nothing, since no threshold keeps ``level``."""
    least_probability: float
    """Classes from here on are possible; 0: all of them, since there are too few validation pictures."""

    @property
    def promises_nothing(self) -> str:
        """Why no threshold keeps ``level``; "" where one does."""
        needed = math.ceil(1 / (1 - self.level) - 1 - 1e-9)  # without any mistake
        if self.least_confidence <= 1:
            return ""
        promise = f"{self.n} validation pictures no threshold can promise {100 * self.level:g} %"
        return (
            f"with {promise}, which takes {needed} or more"
            if self.n < needed
            else f"by its mistakes on {promise}"
        )

    def in_words(self, unsure: int, n: int) -> str:
        """What ``unsure`` of ``n`` pictures means."""
        if unsure < n or not n:
            return f"{unsure} of them not sure: {100 * self.level:g} % of the others should be right."
        every = f"All {n} are" if n > 1 else "The picture is"
        if not self.promises_nothing:
            return f"{every} marked not sure: calibrated confidence below {self.least_confidence:.3f}."
        return f"{every} marked not sure: {self.promises_nothing}. Go by the column `confidence`."

    def judge(self, probabilities: np.ndarray) -> Judged:
        """probabilities: (N, C), as the network gives them."""
        scaled = scale(probabilities, self.temperature)
        confidence = scaled.max(axis=1)
        possible = scaled >= self.least_probability
        possible[np.arange(len(scaled)), np.argmax(probabilities, axis=1)] = True
        return Judged(confidence, confidence >= self.least_confidence, possible)

    def on(self, table: PredictionTable) -> PredictionTable:
        """The table with the columns ``calibrated`` (confidence after temperature scaling) and ``not_sure`` (0 or 1),
        and the ``possible`` classes."""
        judged = self.judge(table.probabilities)
        columns = {"calibrated": judged.confidence, "not_sure": ~judged.answered}
        return replace(table, look={**columns, **table.look}, possible=judged.possible)


def false_alarms(rate: float, n: int, more: str = "") -> str:
    """How often a picture is called far for nothing, by ``n`` validation pictures; a sentence without its end."""
    return f"False alarms, by {n} validation pictures{more}: {100 * rate:.1f} % or fewer of pictures like the run's own"
