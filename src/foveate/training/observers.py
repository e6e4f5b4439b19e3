"""Observers: they watch training and never change it."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from accelerate.tracking import GeneralTracker, TensorBoardTracker, WandBTracker

from foveate.core.errors import ConfigError
from foveate.core.files import write_text
from foveate.training.decisions import Decision

Figures = dict[str, int | float]
WANDB_ID = "wandb-id.txt"
"""In the run folder: the run of Weights & Biases that it goes on in."""


class Observer:
    """Override what you need."""

    def phase(self, name: str, epochs: int, steps: int) -> None:
        """A phase begins (or goes on): at most ``epochs`` epochs of ``steps`` steps."""

    def step(self, done: int, total: int, pictures: int) -> None:
        """``done`` of ``total`` steps of the epoch are done; ``pictures`` were in the last batch."""

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch ended with this row of history.csv."""

    def picture(self, name: str, picture: np.ndarray, epoch: int) -> None:
        """A picture (H, W, 3) uint8 of what training does, after ``epoch`` epochs."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Work outside of the epochs: ``done`` of ``total`` pictures checked, decoded, measured, steps tried ..."""

    def decision(self, decision: Decision) -> None:
        """Something was decided automatically."""

    def message(self, text: str) -> None:
        """Something worth telling happened (a phase ended early, weights were restored)."""

    def close(self) -> None:
        """Training ended, in whatever way."""


class Several(Observer):
    """Passes everything on to a list of observers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        for event in (name for name in vars(Observer) if not name.startswith("_")):
            setattr(self, event, partial(self._tell, event, tuple(observers)))

    @staticmethod
    def _tell(event: str, observers: Sequence[Observer], *what: Any) -> None:
        for observer in observers:
            getattr(observer, event)(*what)


class Tracked(Observer):
    """Gives every row of history.csv to one of Accelerate's trackers, which begins with the first of them."""

    def __init__(
        self,
        tracker: GeneralTracker,
        renamed: Callable[[Figures], Figures] = dict,
        begin: Callable[[], None] = lambda: None,
        **layout: str,
    ) -> None:
        if find_spec(tracker.name) is None:
            raise ConfigError(
                f"The tracker {tracker.name} needs an extra: pip install 'foveate[{tracker.name}]'."
            )
        self._tracker, self._renamed, self._begun = tracker, renamed, False
        self._begin, self._layout = begin, layout

    def _start(self) -> None:
        if not self._begun:  # not earlier: a tracker speaks through the logger of a running Accelerator
            self._tracker.start()
            self._begun = True
            self._begin()

    def picture(self, name: str, picture: np.ndarray, epoch: int) -> None:
        self._start()
        self._tracker.log_images({name.replace(": ", "/"): picture[None]}, step=epoch, **self._layout)

    def epoch(self, row: dict[str, Any]) -> None:
        self._start()
        figures = {name: value for name, value in row.items() if isinstance(value, int | float)}
        self._tracker.log(self._renamed(figures), step=row["epoch"])

    def close(self) -> None:
        if self._begun:
            self._tracker.finish()
            self._begun = False


def _tensorboard(folder: Path, config: dict[str, Any]) -> Observer:
    """Event files; "val_loss" is there "val/loss". The settings are its hyper-parameters."""
    tracker = TensorBoardTracker("tensorboard", folder)

    def renamed(figures: Figures) -> Figures:
        return {name.replace("_", "/", 1): value for name, value in figures.items() if name != "epoch"}

    def begin() -> None:
        if config:
            # Into the same folder: by itself it makes one with the time of day for a name.
            tracker.writer.add_hparams(dict(_plain(config)), {}, run_name=".")

    return Tracked(tracker, renamed, begin, dataformats="NHWC")


def _plain(values: Any, name: str = "") -> Iterator[tuple[str, str | int | float | bool]]:
    """(dotted name, value) of nested settings; what is no number or switch as text."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _plain(value, f"{name}.{key}" if name else str(key))
    elif isinstance(values, list | tuple) and any(isinstance(value, dict) for value in values):
        yield from _plain(dict(enumerate(values)), name)
    else:
        yield name, values if isinstance(values, bool | int | float) else str(values)


def _wandb(folder: Path, config: dict[str, Any]) -> Observer:
    """Offline unless WANDB_MODE says otherwise; a run that goes on does so under the id that ``WANDB_ID`` keeps."""
    mode = "online" if os.environ.get("WANDB_MODE") == "online" else "offline"
    kept = folder / WANDB_ID
    name = kept.read_text(encoding="utf-8").strip() if kept.is_file() else uuid4().hex[:8]
    tracker = WandBTracker(
        "foveate", id=name, resume="allow", name=folder.name, dir=str(folder), config=config, mode=mode
    )
    return Tracked(tracker, begin=lambda: write_text(kept, name))


TRACKERS: dict[str, Callable[[Path, dict[str, Any]], Observer]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}
