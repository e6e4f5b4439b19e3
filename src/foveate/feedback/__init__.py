"""Feedback loops: what training has seen decides which pictures it shows next."""

from typing import TYPE_CHECKING, Any

from foveate.core.registry import Registry
from foveate.feedback.class_sampling import ClassSampling
from foveate.feedback.curriculum import Curriculum
from foveate.feedback.feedback import Feedback, Moment, Seen, TrainingPictures
from foveate.feedback.upweighting import Upweighting

# A new feedback: one class in one file, one line here.
FEEDBACKS = Registry(
    "feedback",
    ClassSampling,
    Curriculum,
    Upweighting,
)

if TYPE_CHECKING:
    FeedbackConfig = Any
else:
    FeedbackConfig = FEEDBACKS.settings


def build_feedbacks(configs: tuple[Any, ...]) -> tuple[Feedback, ...]:
    """The feedbacks of an experiment, in order."""
    return tuple(FEEDBACKS.build(config) for config in configs)


__all__ = ["FEEDBACKS", "Feedback", "FeedbackConfig", "Moment", "Seen", "TrainingPictures", "build_feedbacks"]
