"""Recipes: named experiments and studies as plain functions."""

from collections.abc import Callable

from foveate.experiment.specification import Experiment
from foveate.recipes.finetune import finetune
from foveate.recipes.guidance import guidance_study
from foveate.recipes.guides import guidance
from foveate.recipes.learn2look import (
    learn2look_future,
    learn2look_second_set,
    learn2look_taps,
    learn2look_weights,
)
from foveate.recipes.plants import (
    plants,
    plants_final,
    plants_final_large,
    plants_from_scratch,
    plants_imbalance,
    plants_tta,
)
from foveate.recipes.pretext import pretext
from foveate.recipes.scenes import (
    scenes_controls,
    scenes_perturbation,
    scenes_rotation,
    scenes_supervised,
)
from foveate.recipes.shortcut import shortcut
from foveate.studies.specification import Study

# A new recipe: one function in one file, one line here.
RECIPES: dict[str, Callable[..., Experiment]] = {
    "finetune": finetune,
    "plants": plants,
    "pretext": pretext,
}
STUDIES: dict[str, Callable[..., Study]] = {
    "learn2look-weights": learn2look_weights,
    "learn2look-taps": learn2look_taps,
    "learn2look-second-set": learn2look_second_set,
    "learn2look-future": learn2look_future,
    "guidance": guidance_study,
    "shortcut": shortcut,
    "plants-from-scratch": plants_from_scratch,
    "plants-imbalance": plants_imbalance,
    "plants-final": plants_final,
    "plants-final-large": plants_final_large,
    "plants-tta": plants_tta,
    "scenes-supervised": scenes_supervised,
    "scenes-rotation": scenes_rotation,
    "scenes-perturbation": scenes_perturbation,
    "scenes-controls": scenes_controls,
}

__all__ = ["RECIPES", "STUDIES", "finetune", "guidance", "pretext"]
