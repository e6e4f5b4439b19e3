"""Objectives: classification losses, spatial losses, and their weighted sum."""

from foveate.objectives.objective import LOSSES, Objective, ObjectiveConfig, default_objective
from foveate.objectives.term import Context, Progress
from foveate.objectives.weighting import WEIGHTINGS

__all__ = ["LOSSES", "WEIGHTINGS", "Context", "Objective", "ObjectiveConfig", "Progress", "default_objective"]
