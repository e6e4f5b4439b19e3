"""Recipes: named experiments and studies as plain functions; those of single papers stand in ``foveate.papers``."""

from collections.abc import Callable

from foveate import papers
from foveate.experiment.specification import Experiment
from foveate.recipes.demo import shortcut
from foveate.recipes.finetune import finetune
from foveate.recipes.guidance_study import (
    guidance_all,
    guidance_budget,
    guidance_controls,
    guidance_sizes,
    guidance_small,
    total_shortcut,
)
from foveate.recipes.pretext import pretext
from foveate.studies.guides import guidance
from foveate.studies.specification import Study

# A new recipe: one function in one file, one line here.
RECIPES: dict[str, Callable[..., Experiment]] = {"finetune": finetune, "pretext": pretext, **papers.RECIPES}
STUDIES: dict[str, Callable[..., Study]] = {
    "guidance": guidance_small,
    "guidance-controls": guidance_controls,
    "guidance-all": guidance_all,
    "guidance-budget": guidance_budget,
    "guidance-sizes": guidance_sizes,
    "total-shortcut": total_shortcut,
    "shortcut": shortcut,
    **papers.STUDIES,
}

__all__ = ["RECIPES", "STUDIES", "finetune", "guidance", "pretext"]
