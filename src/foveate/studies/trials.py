"""One process of a search: takes trials from the database until none is open, and runs each as an ordinary run."""

import math
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foveate.core.errors import ConfigError, FoveateError, StudyError, TrainingError
from foveate.core.files import write_text
from foveate.experiment import Experiment, run
from foveate.experiment.run_folder import RunFolder
from foveate.studies.search import Search
from foveate.studies.search_database import Claim, SearchDatabase
from foveate.studies.search_target import Target, target_of
from foveate.training import Observer
from foveate.training.interrupt import Interrupted as RunInterrupted
from foveate.training.interrupt import watch_signals

HOPELESS = 3
"""When this many trials have failed and none has succeeded, the fault lies in what they share."""

FAULTS = (
    FoveateError, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError, MemoryError
)  # fmt: skip
"""What settings that do not go together may raise, here or in a library: the trial fails and the others go on. Not what
the disk or the database raises."""

RunTrial = Callable[..., RunFolder]
"""(experiment, data, folder, quarantine=, observer=) -> a finished run; ``foveate.experiment.run`` is one."""


class Interrupted(FoveateError):
    """The search was stopped from outside; nothing is lost."""


class _Pruned(Exception):
    """The pruner ends a trial."""


@dataclass(frozen=True)
class Task:
    """A search on a set of pictures: what a worker process is told."""

    search: Search
    base: Experiment
    """The whole experiment that every trial changes."""
    data: Path
    out: Path
    storage: str = ""
    """Database URL; "": a SQLite file in ``out``."""
    quarantine: bool = False
    pictures: Mapping[str, str] = field(default_factory=dict)
    """{"catalog_hash", "split_hash"} that every trial must find."""

    @property
    def target(self) -> Target:
        """What is maximised or minimised."""
        return target_of(self.search, self.base)

    def database(self) -> SearchDatabase:
        """Open the database."""
        url = self.storage or f"sqlite:///{(self.out / 'tune.db').resolve()}"
        return SearchDatabase(self.search, self.base, self.target, self.out, url, self.pictures)

    def experiment(self, settings: Mapping[str, Any], number: int) -> Experiment:
        """A trial's experiment: without the test pictures."""
        whole = self.search.experiment_of(self.base, settings, number)
        return whole.model_copy(
            update={"evaluation": whole.evaluation.model_copy(update={"splits": ("val",)})}
        )


def work(task: Task, observer: Observer, run_trial: RunTrial = run) -> None:
    """Take trials until none is open.

    Raises:
        Interrupted: stopped from outside; the trial is left to the next process.
        StudyError: all trials fail.
        ConfigError, DataError: the metric was not measured, or the pictures changed.
    """
    database = task.database()
    try:
        with watch_signals() as stopped, stopped.held():
            while True:
                check(stopped)
                claim = database.claim()
                if claim is None:
                    return
                try:
                    with database.at_work(claim):
                        _Trial(task, database, claim, observer, stopped, run_trial).go()
                except BaseException as error:
                    database.release(claim)
                    if isinstance(error, RunInterrupted):
                        raise Interrupted(f"Trial {claim.number}: {error}") from None
                    raise
                over = [trial for trial in database.trials() if trial.state.is_finished()]
                if len(over) >= HOPELESS and all(trial.state.name == "FAIL" for trial in over):
                    raise StudyError(
                        f"All of the first {len(over)} trials failed; the last one: "
                        f"{over[-1].user_attrs.get('error')} Mend what they share and choose a new --out."
                    )
    finally:
        database.close()


def check(stopped: Callable[[], bool]) -> None:
    """End a search that is stopped from outside.

    Raises:
        Interrupted: it is.
    """
    if stopped():
        raise Interrupted("Stopped; finished trials are kept. Run the same command again to go on.")


@dataclass(frozen=True)
class _Trial:
    """One trial from its settings to its value."""

    task: Task
    database: SearchDatabase
    claim: Claim
    observer: Observer
    stopped: Callable[[], bool]
    run_trial: RunTrial

    def go(self) -> None:
        """Run it and tell the database."""
        folder = self.database.folder(self.claim.number)
        if self.claim.again:
            self._say("is taken up again where it was left")
        try:
            experiment = self.task.experiment(self.claim.settings, self.claim.number)
            self.claim.trial.set_user_attr("experiment_hash", experiment.hash())
            if self._copied(experiment):
                return
            started = time.monotonic()
            watcher = _Watcher(self.observer, self.database, self.claim, self.stopped)
            finished = self.run_trial(
                experiment, self.task.data, folder, quarantine=self.task.quarantine, observer=watcher
            )
            value = self._value(finished)
        except _Pruned:
            shutil.rmtree(folder / "checkpoint", ignore_errors=True)
            self.database.end(self.claim, "PRUNED")
            self._say("ended early: at this epoch it is worse than the median of the complete trials")
        except FAULTS as error:
            full_disk = isinstance(error, TrainingError) and error.__cause__ is not None
            if full_disk or isinstance(error, RunInterrupted | Interrupted | _Fatal):
                raise
            if isinstance(error, FoveateError):
                self._fail(str(error))
            else:
                write_text(folder / "error.txt", traceback.format_exc())
                self._fail(f"{type(error).__name__}: {error} (see {folder / 'error.txt'}).")
        else:
            if not math.isfinite(value):
                self._fail(f"{self.task.target.name} is {value}.")
                return
            self.database.end(self.claim, "COMPLETE", value)
            best = self.database.study.best_trial
            self._say(
                f"{self.task.target.name} {value:.4g} in {time.monotonic() - started:.0f} s; best so far "
                f"{best.value:.4g} (trial {best.number})"
            )

    def _value(self, finished: RunFolder) -> float:
        found = finished.result
        for name, expected in self.task.pictures.items():
            if found.get(name) != expected:
                raise _Fatal(
                    f"Trial {self.claim.number} had other pictures or another split than the search began with ({name} "
                    f"{found.get(name)} instead of {expected}); restore them, or choose another --out."
                )
        effort = {"epochs": len(finished.history), "seconds": found.get("train_seconds")}
        self.claim.trial.set_user_attr("effort", effort)
        try:
            return self.task.target.read(finished)
        except ConfigError as error:
            raise _Fatal(str(error)) from None

    def _copied(self, experiment: Experiment) -> bool:
        """Whether an earlier trial was the very same; then its outcome is this one's, too."""
        twin = self.database.twin(self.claim, experiment.hash())
        while twin is not None and not twin.state.is_finished():
            if twin.state.name != "RUNNING" or not self.database.alive(twin):
                return False
            check(self.stopped)
            time.sleep(0.5)
            twin = self.database.twin(self.claim, experiment.hash())
        if twin is None:
            return False
        self.claim.trial.set_user_attr("copy_of", twin.user_attrs.get("copy_of", twin.number))
        value = twin.value if twin.state.name == "COMPLETE" else None
        self.database.end(self.claim, twin.state.name, value, twin.user_attrs.get("error"))
        self._say(f"has the settings of trial {twin.number}, whose outcome it takes over")
        return True

    def _fail(self, error: str) -> None:
        self.database.end(self.claim, "FAIL", error=error)
        self._say(f"failed: {error}")

    def _say(self, text: str) -> None:
        chosen = self.claim.settings.items()
        settings = ", ".join(f"{path.rsplit('.', 1)[-1]} {shown(value)}" for path, value in chosen)
        self.observer.message(f"Trial {self.claim.number} of {self.database.total} ({settings}) {text}")


class _Fatal(StudyError):
    """An error that every other trial would meet, too."""


def shown(value: Any) -> str:
    """A setting's value for people."""
    if isinstance(value, dict):
        return " ".join(f"{name}={shown(part)}" for name, part in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


class _Watcher(Observer):
    """Inside a run: passes on what moves, tells the pruner every epoch, stops when asked to."""

    def __init__(
        self, observer: Observer, database: SearchDatabase, claim: Claim, stopped: Callable[[], bool]
    ) -> None:
        self.observer, self.database, self.claim, self.stopped = observer, database, claim, stopped
        self.told = set(database.trials()[claim.number].intermediate_values)

    def phase(self, name: str, epochs: int, steps: int) -> None:
        check(self.stopped)
        self.observer.phase(f"trial {self.claim.number}, {name}", epochs, steps)

    def step(self, done: int, total: int, pictures: int) -> None:
        self.observer.step(done, total, pictures)

    def progress(self, what: str, done: int, total: int) -> None:
        check(self.stopped)
        self.observer.progress(what, done, total)

    def epoch(self, row: dict[str, Any]) -> None:
        self.observer.epoch(row)
        column = self.database.target.column
        if column is None:
            return
        if column not in row:
            known = ", ".join(name for name in row if name.startswith("val_"))
            raise _Fatal(f"history.csv has no column '{column}'; there is {known}.")
        new = row["epoch"] not in self.told  # a run that goes on may repeat an epoch
        if self.database.search.pruner != "none" and new and math.isfinite(row[column]):
            self.told.add(row["epoch"])
            self.claim.trial.report(row[column], row["epoch"])
            if self.claim.trial.should_prune():
                raise _Pruned
