"""Observers: they watch training and never change it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from foveate.core.errors import ConfigError
from foveate.training.decisions import Decision


class Observer:
    """Override what you need."""

    def phase(self, name: str, epochs: int, steps: int) -> None:
        """A phase begins (or goes on): at most ``epochs`` epochs of ``steps`` steps."""

    def step(self, done: int, total: int, pictures: int) -> None:
        """``done`` of ``total`` steps of the epoch are done; ``pictures`` were in the last batch."""

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch ended with this row of history.csv."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Work outside of the epochs: ``done`` of ``total`` pictures checked, decoded, measured, steps tried ..."""

    def decision(self, decision: Decision) -> None:
        """Something was decided automatically."""

    def message(self, text: str) -> None:
        """Something worth telling happened (a phase ended early, weights were restored)."""

    def close(self) -> None:
        """Training ended, in whatever way."""


class TensorBoard(Observer):
    """Writes every column of the history to TensorBoard event files (extra ``tensorboard``)."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                "The tracker tensorboard needs an extra: pip install 'foveate[tensorboard]'."
            ) from None
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def epoch(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, int | float) and name != "epoch":
                self._writer.add_scalar(name.replace("_", "/", 1), value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases(Observer):
    """Logs every epoch to Weights & Biases (extra ``wandb``); offline unless WANDB_MODE says otherwise."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        try:
            import wandb
        except ImportError:
            raise ConfigError("The tracker wandb needs an extra: pip install 'foveate[wandb]'.") from None
        self._run = wandb.init(
            project="foveate",
            name=folder.name,
            dir=str(folder),
            config=config,
            mode="online" if os.environ.get("WANDB_MODE") == "online" else "offline",
            resume="allow",
        )

    def epoch(self, row: dict[str, Any]) -> None:
        self._run.log({k: v for k, v in row.items() if isinstance(v, int | float)}, step=row["epoch"])

    def close(self) -> None:
        self._run.finish()


class Several(Observer):
    """Passes everything on to a list of observers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def phase(self, name: str, epochs: int, steps: int) -> None:
        for observer in self._observers:
            observer.phase(name, epochs, steps)

    def step(self, done: int, total: int, pictures: int) -> None:
        for observer in self._observers:
            observer.step(done, total, pictures)

    def epoch(self, row: dict[str, Any]) -> None:
        for observer in self._observers:
            observer.epoch(row)

    def progress(self, what: str, done: int, total: int) -> None:
        for observer in self._observers:
            observer.progress(what, done, total)

    def decision(self, decision: Decision) -> None:
        for observer in self._observers:
            observer.decision(decision)

    def message(self, text: str) -> None:
        for observer in self._observers:
            observer.message(text)

    def close(self) -> None:
        for observer in self._observers:
            observer.close()


TRACKERS: dict[str, Callable[[Path, dict[str, Any]], Observer]] = {
    "tensorboard": lambda folder, config: TensorBoard(folder),
    "wandb": WeightsAndBiases,
}
