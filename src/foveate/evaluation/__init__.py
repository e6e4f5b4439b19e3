"""The prediction table and everything computed from it: metrics, calibration, where the network looks."""

from foveate.evaluation.calibration import temperature_of
from foveate.evaluation.gallery import Maps, choose_rows, save_maps
from foveate.evaluation.inference import Predictions, predict_batches
from foveate.evaluation.look import class_map, measure_look
from foveate.evaluation.metrics import convergence_epoch, summarise, summarise_all
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.tta import TTA

__all__ = [
    "PredictionTable",
    "Predictions",
    "predict_batches",
    "TTA",
    "summarise",
    "summarise_all",
    "convergence_epoch",
    "temperature_of",
    "measure_look",
    "class_map",
    "Maps",
    "choose_rows",
    "save_maps",
]
