"""The prediction table and everything computed from it: metrics, calibration, where the network looks."""

from foveate.evaluation.calibration import temperature_of
from foveate.evaluation.metrics import convergence_epoch, summarise, summarise_all
from foveate.evaluation.predictions import PredictionTable

__all__ = ["PredictionTable", "convergence_epoch", "summarise", "summarise_all", "temperature_of"]
