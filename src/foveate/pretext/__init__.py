"""Pretext tasks: they make their own labels, so that a network can be trained on pictures without any."""

from typing import TYPE_CHECKING, Any

from foveate.core.registry import Registry
from foveate.pretext.colour import Colour
from foveate.pretext.jigsaw import Jigsaw
from foveate.pretext.location import Location
from foveate.pretext.pairs import Dino, SimCLR
from foveate.pretext.perturbation import Perturbation
from foveate.pretext.questions import Asker, Questions, question_catalog
from foveate.pretext.rotation import Rotation
from foveate.pretext.task import Normal, Task, TaskConfig

# A new task: one class in one file, one line here.
TASKS = Registry("pretext task", Rotation, Perturbation, Jigsaw, Location, Colour, SimCLR, Dino)

if TYPE_CHECKING:
    AnyTaskConfig = Any
else:
    AnyTaskConfig = TASKS.settings


__all__ = ["TASKS", "AnyTaskConfig", "Asker", "Normal", "Questions", "Task", "TaskConfig", "question_catalog"]
