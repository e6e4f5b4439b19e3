"""Recipes: named experiments as plain functions."""

from collections.abc import Callable

from foveate.experiment.specification import Experiment
from foveate.recipes.finetune import finetune
from foveate.recipes.guidance import guidance

# A new recipe: one function in one file, one line here.
RECIPES: dict[str, Callable[..., Experiment]] = {
    "finetune": finetune,
}

__all__ = ["RECIPES", "finetune", "guidance"]
