"""Objectives: classification losses, spatial losses, and their weighted sum."""

from foveate.objectives.objective import LOSSES, Objective, ObjectiveConfig, default_objective
from foveate.objectives.term import Context, Progress

__all__ = ["LOSSES", "Context", "Objective", "ObjectiveConfig", "Progress", "default_objective"]
