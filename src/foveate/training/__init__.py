"""Training: phases, one plain loop, checkpoints that survive a kill, finders, observers."""

from foveate.training.decisions import Decision, Decisions
from foveate.training.feeds import Feeds
from foveate.training.interrupt import Interrupted
from foveate.training.job import Job, TrainingConfig
from foveate.training.loop import fit
from foveate.training.observers import Observer
from foveate.training.phases import EarlyStopping, PhaseConfig, Until

__all__ = [
    "Decision", "Decisions", "EarlyStopping", "Feeds", "Interrupted", "Job", "Observer", "PhaseConfig",
    "TrainingConfig", "Until", "fit",
]  # fmt: skip
