"""Ranking: what a search has found, the winning experiment, and how far the figures can be trusted."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.core.files import write_csv, write_text
from foveate.experiment import Experiment
from foveate.experiment.run_folder import RunFolder
from foveate.studies.metrics import value_at
from foveate.studies.search_database import SearchDatabase

ENOUGH = 10
"""Trials of different settings below which the importance of a setting is not estimated."""


@dataclass(frozen=True)
class Entry:
    """One trial."""

    number: int
    state: str
    """complete, pruned, failed, running or open."""
    value: float | None
    """Of the metric; only when complete."""
    settings: dict[str, Any]
    epochs: int | None
    seconds: float | None
    copy_of: int | None
    """The trial with the same settings whose outcome was taken over."""
    error: str | None


@dataclass(frozen=True)
class Ranking:
    """All trials of a search."""

    metric: str
    entries: tuple[Entry, ...]
    """By number."""
    best: Entry | None
    """The first one of those with the best value."""
    experiment: Experiment | None
    """The winner's, with its test pictures."""
    interval: tuple[float, float] | None
    """95 % interval of the winner's validation accuracy, where that is the metric."""
    importance: dict[str, float] | None
    """{place: share}, largest first; None with too few trials."""
    maximize: bool

    def of(self, *states: str) -> list[Entry]:
        """The trials in these states that were computed and not copied."""
        return [entry for entry in self.entries if entry.state in states and entry.copy_of is None]

    def top(self, n: int) -> list[Entry]:
        """The n best trials that were computed, best first."""
        return best_first(self.of("complete"), self.maximize)[:n]

    @property
    def ties(self) -> int:
        """How many computed trials have the best value."""
        return sum(self.best is not None and entry.value == self.best.value for entry in self.of("complete"))

    @property
    def inseparable(self) -> int | None:
        """How many computed trials lie within the winner's interval, itself included; None without one."""
        if self.interval is None:
            return None
        low, high = self.interval
        return sum(low <= entry.value <= high for entry in self.of("complete") if entry.value is not None)

    def save(self, out: Path) -> None:
        """Write ``trials.csv`` and, when a trial is complete, ``best.yaml``."""
        places = list(dict.fromkeys(place for entry in self.entries for place in entry.settings))
        header = ["trial", "state", self.metric, "epochs", "seconds", "copy_of", "error", *places]
        rows = []
        for entry in self.entries:
            values = (entry.value, entry.epochs, entry.seconds, entry.copy_of, entry.error)
            settings = [entry.settings.get(place) for place in places]
            rows.append([entry.number, entry.state, *map(_cell, values), *map(_cell, settings)])
        write_csv(out / "trials.csv", header, rows)
        if self.best and self.experiment:
            write_text(
                out / "best.yaml",
                f"# Trial {self.best.number}, the best of {len(self.of('complete', 'pruned', 'failed'))}: "
                f"{self.metric} {self.best.value:.4g} on the validation pictures, by which it was chosen.\n"
                + self.experiment.to_yaml(),
            )


def best_first(entries: Iterable[Entry], maximize: bool) -> list[Entry]:
    """Those with a value; of equal ones the first."""
    known = [(entry.value, entry) for entry in entries if entry.value is not None]
    known.sort(key=lambda one: (-one[0] if maximize else one[0], one[1].number))
    return [entry for _, entry in known]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, list | dict | tuple | bool) else value


NAMES = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "open",
}


def rank(database: SearchDatabase) -> Ranking:
    """Read the database."""
    entries = []
    for trial in database.trials():
        known, state = trial.user_attrs, NAMES[trial.state.name]
        effort, value = known.get("effort", {}), trial.value if state == "complete" else None
        entries.append(
            Entry(
                trial.number, state, value, database.settings_of(trial), effort.get("epochs"), effort.get("seconds"),
                known.get("copy_of"), known.get("error"),
            )
        )  # fmt: skip
    maximize = database.target.direction == "maximize"
    ranked = best_first(entries, maximize)
    best = ranked[0] if ranked else None
    experiment = database.search.experiment_of(database.base, best.settings, best.number) if best else None
    computed = {entry.value for entry in ranked if entry.copy_of is None}
    enough = sum(entry.copy_of is None for entry in ranked) >= ENOUGH and len(computed) > 1
    importance = database.importance() if enough else None
    interval = _interval(database, best) if best else None
    return Ranking(
        database.target.name, tuple(entries), best, experiment, interval, importance, maximize
    )  # fmt: skip


def _interval(database: SearchDatabase, best: Entry) -> tuple[float, float] | None:
    *places, last = database.target.name.replace("val_", "val.", 1).split(".")
    run = RunFolder(database.folder(best.number))
    if last != "accuracy" or not run.finished:
        return None
    low, high = (value_at(run.result["metrics"], *places, f"accuracy_{end}") for end in ("low", "high"))
    return None if low is None else (low, high)
