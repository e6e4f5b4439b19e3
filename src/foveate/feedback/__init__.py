"""Feedback loops: what training has seen decides which pictures it shows next."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import SerializeAsAny, WrapValidator

from foveate.core import providers
from foveate.core.registry import Registry
from foveate.feedback.curriculum import Curriculum
from foveate.feedback.feedback import Feedback, Moment, Seen, TrainingPictures
from foveate.feedback.jtt import JustTrainTwice
from foveate.feedback.proxy_attention import ProxyAttention
from foveate.feedback.sampling import ClassSampling, Upweighting

# A new feedback: one class in one file, one line here.
FEEDBACKS = Registry("feedback", ClassSampling, Curriculum, JustTrainTwice, ProxyAttention, Upweighting)

if TYPE_CHECKING:
    FeedbackConfig = Any
else:

    def _adopted(value, known):
        """A paper's feedback (``core.providers``), or one of those above."""
        kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
        if isinstance(kind, str) and kind not in FEEDBACKS:
            providers.load()
        if isinstance(kind, str) and kind in FEEDBACKS.adopted:
            return FEEDBACKS[kind].Config.model_validate(value)
        return known(value)

    FeedbackConfig = Annotated[SerializeAsAny[FEEDBACKS.settings], WrapValidator(_adopted)]


__all__ = ["FEEDBACKS", "Feedback", "FeedbackConfig", "Moment", "Seen", "TrainingPictures"]
