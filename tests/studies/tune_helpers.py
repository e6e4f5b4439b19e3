"""Stand-ins for training, in a module of its own so that fresh processes can import them."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.core.errors import TrainingError
from foveate.experiment import Experiment, run
from foveate.studies.search import Search
from foveate.studies.trials import Task, work
from foveate.training import Observer
from foveate.training.interrupt import Interrupted
from foveate.training.observers import Several
from training_helpers import Killer

LR = "training.phases.0.lr"
EPOCHS = "training.phases.0.epochs"
SPACE: dict[str, Any] = {
    LR: {"low": 1e-5, "high": 1e-1, "log": True},
    EPOCHS: {"low": 4, "high": 12, "step": 2},
}


@dataclass
class Fake:
    """A finished run."""

    experiment: Experiment
    history: list[dict[str, Any]]
    result: dict[str, Any]


def quality(experiment: Experiment) -> float:
    """Best at a learning rate of 1e-3 and 10 epochs, where it is 1."""
    import math

    phase = experiment.training.phases[0]
    return 1 - 0.1 * (math.log10(float(phase.lr)) + 3) ** 2 - 0.01 * (phase.epochs - 10) ** 2


class Train:
    """Pretends to train: an epoch's accuracy rises towards ``quality``. Notes every call in ``folder/calls``."""

    def __init__(self, kill: int = -1, interrupt: int = -1, diverge: tuple[int, ...] = ()) -> None:
        self.kill, self.interrupt, self.diverge = kill, interrupt, diverge

    def __call__(
        self, experiment: Experiment, data: Path, folder: Path, *, quarantine: bool, observer: Observer
    ) -> Fake:
        number = int(folder.name)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "calls", "a") as calls:
            calls.write(f"{os.getpid()}\n")
        if number in self.diverge:
            raise TrainingError(f"The loss of trial {number} is not finite.")
        history = []
        epochs = experiment.training.phases[0].epochs
        for epoch in range(1, epochs + 1):
            value = quality(experiment) * (1 - 0.5 * (epochs - epoch) / epochs)
            row = {"epoch": epoch, "phase_epoch": epoch, "val_loss": -value, "val_accuracy": value}
            observer.epoch(row)
            history.append(row)
            if epoch == 3 and number == self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            if epoch == 3 and number == self.interrupt:
                raise Interrupted(f" in epoch {epoch + 1}")
        return Fake(experiment, history, {"train_seconds": 0.0})


class TrainThenDie:
    """Really trains, but kills its process in the middle of one trial."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(
        self, experiment: Experiment, data: Path, folder: Path, *, quarantine: bool, observer: Observer
    ) -> Any:
        killer = Killer(0, 4) if int(folder.name) == self.number else Observer()
        return run(experiment, data, folder, observer=Several([observer, killer]))


class Heard(Observer):
    """Remembers messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def base(**phase: Any) -> Experiment:
    """An experiment of one phase."""
    return Experiment.from_dict({"training": {"phases": [{"epochs": 8, **phase}]}})


def task(out: Path, experiment: Experiment | None = None, **search: Any) -> Task:
    """A search with the stand-in."""
    values = {"space": SPACE, "trials": 12, "pruner": "none", **search}
    return Task(Search.model_validate(values), experiment or base(), out / "data", out)


def in_process(given: Task, train: Any) -> Any:
    """Work in a fresh process; returns it, started."""
    import multiprocessing

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["foveate.studies.trials", "optuna", "sqlalchemy"])
    process = context.Process(target=_work, args=(given, train))
    process.start()
    return process


def _work(given: Task, train: Any) -> None:
    import torch

    torch.set_num_threads(1)
    work(given, Observer(), train)
