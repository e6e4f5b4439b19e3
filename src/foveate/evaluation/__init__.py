"""The prediction table and everything computed from it: metrics, calibration, where the network looks."""

from foveate.evaluation.calibration import temperature_of
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.summary import convergence_epoch, summarise, summarise_all

__all__ = ["PredictionTable", "convergence_epoch", "summarise", "summarise_all", "temperature_of"]
