"""Evaluators: what is measured of a trained network besides its answers."""

from typing import TYPE_CHECKING, Any

from foveate.core.registry import Registry
from foveate.evaluation.evaluators.attacks import Attacks
from foveate.evaluation.evaluators.backgrounds import Backgrounds
from foveate.evaluation.evaluators.drawn_backgrounds import PlainColours, Textures
from foveate.evaluation.evaluators.evaluator import Evaluator
from foveate.evaluation.evaluators.explainers import Explainers
from foveate.evaluation.evaluators.folder_backgrounds import FolderBackgrounds
from foveate.evaluation.evaluators.look import Look
from foveate.evaluation.evaluators.map_extent import MapExtent
from foveate.evaluation.evaluators.moved_object import MovedObject
from foveate.evaluation.evaluators.neighbours import Neighbours
from foveate.evaluation.evaluators.object_box import ObjectBox

# A new evaluator: one class in one file, one line here. The order is that of columns and figures.
EVALUATORS = Registry(
    "evaluator", Look, Explainers, Neighbours, Backgrounds, ObjectBox, MapExtent, Attacks, FolderBackgrounds,
    PlainColours, Textures, MovedObject,
)  # fmt: skip

if TYPE_CHECKING:
    AnyEvaluatorConfig = Any
else:
    AnyEvaluatorConfig = EVALUATORS.settings

__all__ = ["EVALUATORS", "AnyEvaluatorConfig", "Backgrounds", "Evaluator"]
