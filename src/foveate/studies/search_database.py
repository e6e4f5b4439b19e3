"""SearchDatabase: the trials of one search: who works on which, what came of it, which ones are left behind.

A trial is open (WAITING), somebody's (RUNNING), or over (COMPLETE, PRUNED, FAIL). Whoever takes one writes down who it
is. A trial whose process is gone is taken up again: same number, same settings, same run folder.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from foveate.core.errors import ConfigError, StudyError
from foveate.core.lock import exists, this_process
from foveate.core.rng import key
from foveate.experiment import Experiment
from foveate.experiment.ownership import first_difference
from foveate.studies.search import Domain, Search, at, label
from foveate.studies.search_target import Target

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, Trial

BEAT = 30
"""Seconds between two signs of life of a working process."""
PATIENCE = 600
"""Seconds without a sign of life after which another machine's process is taken for dead."""
STUCK = 3
"""A trial that was killed this often without one more epoch is given up: it seems to kill its process."""


def load_optuna() -> Any:
    """The module, quiet.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError("foveate tune needs an extra: pip install 'foveate[tune]'.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def connect(url: str) -> "RDBStorage":
    """The database at a SQLAlchemy URL; its tables are made when they are not there.

    Raises:
        ConfigError: not a URL, its driver is missing, or the database does not answer.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        shown = make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        raise ConfigError(
            "--storage takes a database URL such as sqlite:///tune.db or postgresql://user@host/name."
        ) from None
    # Several processes write to one SQLite file in turn: they wait instead of giving up after five seconds.
    sqlite = url.startswith("sqlite")
    options: dict[str, Any] = {"connect_args": {"timeout": 120}} if sqlite else {"pool_pre_ping": True}
    try:
        storage: RDBStorage = load_optuna().storages.RDBStorage(url, engine_kwargs=options)
    except ImportError as error:
        why = error.__cause__ or error
        raise ConfigError(f"The storage {shown} needs a database driver: {why}.") from None
    except (SQLAlchemyError, RuntimeError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise ConfigError(f"The storage {shown} cannot be opened ({reason}).") from None
    return storage


@dataclass(frozen=True)
class Claim:
    """A trial that this process works on."""

    number: int
    trial: "Trial"
    settings: dict[str, Any]
    """{place: value}."""
    again: bool
    """Whether another process began it and is gone."""


class SearchDatabase:
    """Opened by every process that works on a search.

    Args:
        out: the search's folder.
        facts: what else must be the same for all trials (hashes of catalog and split).

    Raises:
        StudyError: the database holds another search under this name.
        ConfigError: Optuna is not installed, or the database cannot be opened.
    """

    def __init__(
        self, search: Search, base: Experiment, target: Target, out: Path, url: str, facts: Mapping[str, str]
    ) -> None:
        self.search, self.base, self.target, self.out = search, base, target, out
        self.total = search.count(base)
        self._optuna = load_optuna()
        self._states = self._optuna.trial.TrialState
        self._values = base.to_dict()
        self._lock = FileLock(out / "tune.lock")
        name = search.name or out.resolve().name
        out.mkdir(parents=True, exist_ok=True)
        pruner = self._optuna.pruners.NopPruner()
        if search.pruner == "median":
            pruner = self._optuna.pruners.MedianPruner(
                n_warmup_steps=search.warmup_epochs
            )  # after five trials
        with self._lock:
            self.storage = connect(url)
            self.study = self._optuna.create_study(
                study_name=name, storage=self.storage, direction=target.direction, pruner=pruner,
                load_if_exists=True,
            )  # fmt: skip
            self._id = self.storage.get_study_id_from_name(name)
            self._introduce(name, facts)
            for _ in range(len(self.trials()), self.total):
                self.study.enqueue_trial({})

    def close(self) -> None:
        """Give the database's connections back."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    def _introduce(self, name: str, facts: Mapping[str, str]) -> None:
        search = self.search.model_dump(mode="json", exclude={"experiment", "trials", "name"})
        mine = {"experiment": self._values, "search": search, "pictures": dict(facts)}
        found = self.study.user_attrs.get("search")
        if found is None:
            self.study.set_user_attr("search", mine)
            return
        # Where it runs, and with how many workers, may change.
        if Experiment.from_dict(found["experiment"]).hash() == self.base.hash():
            found["experiment"] = mine["experiment"]
        if found != mine:
            place, old, new = first_difference(found, mine)
            raise StudyError(
                f"The search '{name}' in {self.out} is another one: {place} is {old!r} there and {new!r} now. "
                "Choose another --out, or repeat its settings (only 'trials' may be raised)."
            )

    # -- who works on what ---------------------------------------------------------------------------------------------

    def trials(self) -> list["FrozenTrial"]:
        """All trials, by number."""
        found: list[FrozenTrial] = self.study.get_trials(deepcopy=False)
        return sorted(found, key=lambda trial: trial.number)

    def claim(self) -> Claim | None:
        """Take up the first trial whose process is gone, else the first that is open; None when there is none."""
        running, waiting = self._states.RUNNING, self._states.WAITING
        with self._lock:
            trials = self.trials()
            for trial in trials:
                if trial.state == running and not self.alive(trial) and not self._stuck(trial):
                    return self._claimed(trial.number, again=True)
            for trial in trials[: self.total]:
                # In a database without this folder's lock another machine may be faster.
                if trial.state == waiting and self.storage.set_trial_state_values(
                    self._trial_id(trial.number), running
                ):
                    return self._claimed(trial.number, again=bool(trial.params))
        return None

    def _claimed(self, number: int, *, again: bool) -> Claim:
        trial_id = self._trial_id(number)
        owner = {**this_process(), "machine": _machine(), "since": time.time()}
        self.storage.set_trial_user_attr(trial_id, "owner", owner)
        # Every trial has its own random numbers, so that a search that was killed tries what an unbroken one tries.
        samplers, seed = self._optuna.samplers, key(self.base.seed, "sampler", number) % 2**32
        sampler = samplers.TPESampler if self.search.sampler == "tpe" else samplers.RandomSampler
        self.study.sampler = sampler(seed=seed)
        if self.search.sampler == "grid":
            point = self.search.grid_point(self.base, number)
            stored = {path: self.search.space[path].stored(value) for path, value in point.items()}
            self.storage.set_trial_system_attr(trial_id, "fixed_params", stored)  # as enqueue_trial does
        trial = self._optuna.trial.Trial(self.study, trial_id)
        settings = {path: self._suggest(trial, path, domain) for path, domain in self.search.space.items()}
        return Claim(number, trial, settings, again)

    def _suggest(self, trial: "Trial", path: str, domain: Domain) -> Any:
        """The trial's value: the one it has, else one that the sampler draws."""
        if domain.choices is not None:
            return domain.value(trial.suggest_categorical(path, [label(value) for value in domain.choices]))
        low, high = domain.span
        if domain.whole(at(self._values, path)):
            return trial.suggest_int(path, int(low), int(high), step=int(domain.step or 1), log=domain.log)
        return trial.suggest_float(path, low, high, step=domain.step, log=domain.log)

    def settings_of(self, trial: "FrozenTrial") -> dict[str, Any]:
        """{place: value} of a trial that has all its settings; else {}."""
        if set(trial.params) != set(self.search.space):
            return {}
        return {path: domain.value(trial.params[path]) for path, domain in self.search.space.items()}

    def release(self, claim: Claim) -> None:
        """Leave the trial to whoever comes next; its settings stay."""
        trial_id = self._trial_id(claim.number)
        self.storage.set_trial_user_attr(trial_id, "owner", None)
        self.storage.set_trial_state_values(trial_id, self._states.WAITING)

    @contextmanager
    def at_work(self, claim: Claim) -> Iterator[None]:
        """Inside the block other machines see that the trial's process is alive."""
        done = threading.Event()
        trial_id = self._trial_id(claim.number)

        def beat() -> None:
            while not done.wait(BEAT):
                # A database that is out of reach for a moment does not stop the training.
                with suppress(self._optuna.exceptions.StorageInternalError):
                    self.storage.set_trial_user_attr(trial_id, "seen", time.time())
            self.storage.remove_session()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def alive(self, trial: "FrozenTrial") -> bool:
        """Whether the process that works on a running trial still exists."""
        owner = trial.user_attrs.get("owner")
        if owner and owner["machine"] == _machine():
            return exists(owner)
        signs = [trial.user_attrs.get("seen", 0.0), owner["since"] if owner else 0.0]
        signs += [trial.datetime_start.timestamp()] if trial.datetime_start else []
        return time.time() - max(signs) < PATIENCE

    def _stuck(self, trial: "FrozenTrial") -> bool:
        """Note how far the trial was when it was killed; whether it is given up now."""
        trial_id = self._trial_id(trial.number)
        file = self.folder(trial.number) / "history.csv"
        lines = len(file.read_bytes().splitlines()) if file.is_file() else 0
        kills = [*trial.user_attrs.get("kills", []), lines]
        self.storage.set_trial_user_attr(trial_id, "kills", kills)
        if len(kills) < STUCK or len(set(kills[-STUCK:])) > 1:
            return False
        error = f"Its process was killed {STUCK} times without finishing another epoch (for want of memory?)."
        self.storage.set_trial_user_attr(trial_id, "error", error)
        self.storage.set_trial_state_values(trial_id, self._states.FAIL)
        return True

    # -- what came of it -----------------------------------------------------------------------------------------------

    def folder(self, number: int) -> Path:
        """The trial's run folder."""
        return self.out / "trials" / str(number)

    def twin(self, claim: Claim, experiment_hash: str) -> "FrozenTrial | None":
        """An earlier trial of the very same experiment."""
        earlier = self.trials()[: claim.number]
        return next((t for t in earlier if t.user_attrs.get("experiment_hash") == experiment_hash), None)

    def end(self, claim: Claim, state: str, value: float | None = None, error: str | None = None) -> None:
        """The trial is COMPLETE with this value, was PRUNED, or had to FAIL with this error."""
        if error is not None:
            claim.trial.set_user_attr("error", error)
        self.study.tell(claim.trial, value, state=self._states[state], skip_if_finished=True)

    def importance(self) -> dict[str, float]:
        """{place: share of what the settings explain together}, largest first, by Optuna's own estimate."""
        found = self._optuna.importance.get_param_importances(self.study)
        return {name: float(share) for name, share in found.items()}

    def _trial_id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._id, number)


def _machine() -> str:
    """This machine; on Linux also the process namespace, since containers with one host name count by themselves."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()
