"""What belongs to one paper and to nothing else: its recipes, odd networks, faithful faults, its own inversion.

The core knows none of it: recipes take these tables, and networks and routines register themselves when this package is
imported (``core.providers``). A new paper: a folder, and its lines here.
"""

from collections.abc import Callable

from foveate.experiment.specification import Experiment
from foveate.papers.fine_grained import recipes as fine_grained
from foveate.papers.learn2look import recipes as learn2look
from foveate.papers.plants import networks as networks
from foveate.papers.plants import recipes as plants
from foveate.papers.proxy_attention import leak as leak
from foveate.papers.proxy_attention import recipes as proxy_attention
from foveate.papers.scenes import inversion as inversion
from foveate.papers.scenes import recipes as scenes
from foveate.studies.specification import Study

RECIPES: dict[str, Callable[..., Experiment]] = {
    "plants": plants.plants,
    "proxy-attention": proxy_attention.proxy_attention,
}
STUDIES: dict[str, Callable[..., Study]] = {
    "learn2look-weights": learn2look.learn2look_weights,
    "learn2look-taps": learn2look.learn2look_taps,
    "learn2look-second-set": learn2look.learn2look_second_set,
    "learn2look-future": learn2look.learn2look_future,
    "learn2look-finer": learn2look.learn2look_finer,
    "plants-from-scratch": plants.plants_from_scratch,
    "plants-imbalance": plants.plants_imbalance,
    "plants-final": plants.plants_final,
    "plants-final-large": plants.plants_final_large,
    "plants-tta": plants.plants_tta,
    "proxy-schedules": proxy_attention.proxy_schedules,
    "proxy-grid": proxy_attention.proxy_grid,
    "proxy-dose": proxy_attention.proxy_dose,
    "proxy-combined": proxy_attention.proxy_combined,
    "augmentation-zoo": proxy_attention.augmentation_zoo,
    "scenes-supervised": scenes.scenes_supervised,
    "scenes-rotation": scenes.scenes_rotation,
    "scenes-perturbation": scenes.scenes_perturbation,
    "scenes-controls": scenes.scenes_controls,
    "fine-grained-fbsd": fine_grained.fine_grained_fbsd,
    "fine-grained-mmal": fine_grained.fine_grained_mmal,
    "fine-grained-compare": fine_grained.fine_grained_compare,
    "fine-grained-transfer": fine_grained.fine_grained_transfer,
}
