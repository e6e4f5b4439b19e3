"""Experiment: one specification of a run; ``run(experiment, data, out) -> Run``."""

from foveate.experiment.execute import run
from foveate.experiment.run import Run
from foveate.experiment.specification import Experiment

__all__ = ["Experiment", "Run", "run"]
