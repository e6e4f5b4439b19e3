"""Recipes: named experiments as plain functions."""

from foveate.recipes.finetune import finetune
from foveate.recipes.guidance import guidance

__all__ = ["finetune", "guidance"]
