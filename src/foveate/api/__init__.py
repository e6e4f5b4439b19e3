"""The Python API: the same shape as the command line."""

from foveate.api.folders import (
    check,
    compare_backbones,
    compare_masks,
    learning_curve,
    propose_masks,
    study,
    train,
)  # fmt: skip
from foveate.api.runs import card, explain_pictures, invert, look, report, summit

__all__ = [
    "card", "check", "compare_backbones", "compare_masks", "explain_pictures", "invert", "learning_curve", "look",
    "propose_masks", "report", "study", "summit", "train",
]  # fmt: skip
