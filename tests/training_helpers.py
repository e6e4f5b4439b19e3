"""What the training tests share: a small experiment and a run of it in a process of its own."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from foveate.experiment import Experiment, run
from foveate.experiment.specification import merge
from foveate.training import Observer

PHASES: list[dict[str, Any]] = [
    {"name": "head", "epochs": 3, "trainable": "head", "lr": 0.01, "views": 2},
    {
        "name": "all",
        "epochs": 3,
        "lr": 0.003,
        "schedule": {"schedule": "one_cycle"},
        "lr_factors": {"backbone": 0.3},
    },
]

BASE: dict[str, Any] = {
    "data": {"size": 32, "augment": {"preset": "standard"}},
    "model": {"backbone": "foveate_small_cnn", "weights": "none", "head": {"name": "deep", "widths": [16]}},
    "training": {
        "phases": PHASES,
        "batch_size": 8,
        "precision": "fp32_channels_last",
        "checkpoint_seconds": 0.0,
        "device": "cpu",
        "loader": {"workers": 0},
    },
    "seed": 3,
}


def experiment(**changes: Any) -> Experiment:
    """The small experiment with some fields changed."""
    return Experiment.from_dict(merge(BASE, changes))


class Killer(Observer):
    """Kills its own process after ``step`` steps of phase ``phase`` (both from 0), with ``number``."""

    def __init__(self, phase: int, step: int, number: int = signal.SIGKILL) -> None:
        self.left, self.steps, self.number = phase, step, number

    def phase(self, name: str, epochs: int, steps: int) -> None:
        self.left -= 1

    def step(self, done: int, total: int, pictures: int) -> None:
        if self.left < 0:
            if self.steps == 0:
                os.kill(os.getpid(), self.number)
            self.steps -= 1


def _child(values: dict[str, Any], data: Path, out: Path, killer: Killer | None) -> None:
    import torch

    torch.set_num_threads(1)
    run(Experiment.from_dict(values), data, out, observer=killer)


def in_child(values: dict[str, Any], data: Path, out: Path, killer: Killer | None = None) -> Any:
    """Start the run in a fresh process forked from a server that has torch loaded; returns the process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["foveate.experiment", "foveate.reporting.report"])
    process = context.Process(target=_child, args=(values, data, out, killer))
    process.start()
    return process
