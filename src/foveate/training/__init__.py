"""Training: phases, one plain loop, checkpoints that survive a kill, finders, observers."""

from foveate.training.decisions import Decision, Decisions
from foveate.training.interrupt import Interrupted
from foveate.training.loaders import Feeds
from foveate.training.loop import fit
from foveate.training.observers import Observer
from foveate.training.phases import EarlyStopping, PhaseConfig, Until
from foveate.training.training_job import Job, TrainingConfig

__all__ = [
    "Decision", "Decisions", "EarlyStopping", "Feeds", "Interrupted", "Job", "Observer", "PhaseConfig",
    "TrainingConfig", "Until", "fit",
]  # fmt: skip
