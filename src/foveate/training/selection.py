"""Rules by which one of several candidates is kept (epochs of a phase, strengths of a penalty), each with a name."""

from typing import ClassVar, Literal

import numpy as np

from foveate.core.config import Config
from foveate.core.registry import Registry


class SelectionRule(Config):
    """Base: (which pictures are answered right, their subgroups) -> a score, of which the highest wins."""

    words: ClassVar[str]
    """The rule's name as it is printed."""

    def score(self, correct: np.ndarray, subgroups: np.ndarray) -> float:
        """correct: (n,) bool; subgroups: (n,) int64, class and attribute, -1 = unknown; n > 0."""
        raise NotImplementedError


class AverageValidation(SelectionRule):
    """The most validation pictures right."""

    kind: Literal["average_validation"] = "average_validation"
    words = "average validation"

    def score(self, correct: np.ndarray, subgroups: np.ndarray) -> float:
        return float(correct.mean())


class WorstAttributeValidation(SelectionRule):
    """The highest accuracy on the validation pictures of the worst class with one value of the attribute."""

    kind: Literal["worst_attribute_validation"] = "worst_attribute_validation"
    words = "worst attribute on validation"

    def score(self, correct: np.ndarray, subgroups: np.ndarray) -> float:
        known = sorted(set(subgroups.tolist()) - {-1})
        return min(float(correct[subgroups == number].mean()) for number in known)


class LeaveOneOut(SelectionRule):
    """The smallest squared error of training pictures that are left out one by one (last layer ``ridge``)."""

    kind: Literal["leave_one_out"] = "leave_one_out"
    words = "leave one out on training"


class LastEpoch(SelectionRule):
    """Nothing is chosen: the last epoch, or the one candidate that there is."""

    kind: Literal["last_epoch"] = "last_epoch"
    words = "last epoch"


# A new rule: one class, one line here.
SELECTION_RULES = Registry(
    "selection rule", AverageValidation, WorstAttributeValidation, LeaveOneOut, LastEpoch
)


def rule_of_phase(restore_best: str | None) -> tuple[str, str]:
    """The rule by which a phase keeps the weights of an epoch, and what it does, in words."""
    if restore_best is None:
        return LastEpoch.words, "the weights of the last epoch are kept"
    how = f"the weights of the epoch with the best {restore_best} are kept"
    if not restore_best.startswith("val_"):
        return f"best {restore_best}", how
    worst = restore_best.startswith("val_worst_")
    return (WorstAttributeValidation if worst else AverageValidation).words, how
