"""foveate tune: a search over settings, judged on the validation pictures alone. Every trial is an ordinary run.

``out/trials/<number>/`` holds the runs, ``out/tune.db`` (or any other database) who works on which and what came of it.
Several processes may work on one search. Killed, it goes on where it was: runs from their checkpoints.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from foveate.core.errors import DataError, FoveateError, StudyError, TrainingError
from foveate.core.lock import entries
from foveate.data.split import split_hash
from foveate.experiment import Experiment
from foveate.experiment.prepare import prepare
from foveate.models.build import build_network
from foveate.studies.search import Search
from foveate.studies.trial_ranking import Ranking, rank
from foveate.studies.trials import Interrupted, Task, check, work
from foveate.training import Observer
from foveate.training.interrupt import watch_signals

MakeObserver = Callable[[], Observer]


def tune(
    search: Search, base: Experiment, data: Path | str, out: Path | str, *, storage: str = "", jobs: int = 1,
    quarantine: bool = False, make_observer: MakeObserver = Observer,
) -> Ranking:  # fmt: skip
    """Work on a search until no trial is open, then rank the trials; writes ``out/best.yaml`` and ``out/trials.csv``.

    Args:
        base: what ``search.experiment`` comes to, complete.
        out: a new folder, or this search's: then the search goes on.
        storage: a database URL that several machines share; "" for a SQLite file in ``out``.
        jobs: worker processes; the processor's threads are divided among them.
        make_observer: called once in every process (pickled when ``jobs`` > 1); the observer gets a message for every
            trial, and the phases, steps and progress of the trial that is running.

    Raises:
        ConfigError: the search does not fit the experiment, or asks for a figure of the test pictures.
        StudyError: ``out`` holds another search, or all trials fail.
        DataError: there are no validation pictures, or the pictures changed.
        Interrupted: stopped from outside.
    """
    observer = make_observer()
    try:
        task = _checked(Task(search, base, Path(data), Path(out), storage, quarantine), observer)
        if jobs == 1:
            work(task, observer)
        else:
            observer.close()  # the workers have the screen
            _hire(task, jobs, make_observer)
    finally:
        observer.close()
    database = task.database()
    try:
        ranking = rank(database)
        ranking.save(task.out)
    finally:
        database.close()
    return ranking


def _checked(task: Task, observer: Observer) -> Task:
    """Refuse before the first trial what could not work in any; look at the pictures once."""
    task.search.check(task.base)
    target = task.target
    if entries(task.out) and not (task.out / "tune.lock").is_file():
        raise StudyError(f"{task.out} is not empty and holds no search; choose another --out.")
    prepared = prepare(task.data, task.base.data, quarantine=task.quarantine, observer=observer)
    catalog = prepared.catalog
    for note in prepared.notes:
        observer.message(note)
    if not len(catalog.indices("val")):
        raise DataError(
            f"{task.data} has no validation pictures, so there is nothing to tune on; set data.split.val, "
            "or use another split file."
        )
    if not any(path.startswith("model.") for path in task.search.space):
        build_network(task.base.model, classes=len(catalog.classes), size=task.base.data.size, seed=0)
    count = len(catalog.indices("val"))
    observer.message(
        f"{task.search.count(task.base)} trials, {target.direction[:-1]}ing {target.name} on {count} validation "
        "pictures; the test pictures are left alone."
    )
    return replace(task, pictures={"catalog_hash": catalog.hash, "split_hash": split_hash(catalog)})


def _hire(task: Task, jobs: int, make_observer: MakeObserver) -> None:
    """Let ``jobs`` processes work and wait for them; a worker that dies leaves its trial to the others."""
    task.database().close()  # makes the tables and the trials once
    context = multiprocessing.get_context("spawn")
    errors = context.SimpleQueue()
    threads = max(1, torch.get_num_threads() // jobs)
    workers = [
        context.Process(target=_worker, args=(task, make_observer, threads, errors), name=f"worker {k}")
        for k in range(jobs)
    ]
    # Ctrl-C reaches every process of a terminal; the workers stop when they are told to, and not while they start.
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    for worker in workers:
        worker.start()
    if main:
        signal.signal(signal.SIGINT, before)
    with watch_signals() as stopped, stopped.held():
        while any(worker.is_alive() for worker in workers) and not stopped():
            time.sleep(0.1)
        if stopped():
            for worker in workers:
                worker.terminate()  # SIGTERM: they finish the step and save
        for worker in workers:
            worker.join()
        check(stopped)
    if not errors.empty():
        raise StudyError(errors.get())
    killed = [worker for worker in workers if worker.exitcode]
    if len(killed) == len(workers):
        raise TrainingError(
            f"All workers ended before their work was done (exit status {killed[0].exitcode}; -9: killed, perhaps "
            "for want of memory). Run the same command again to go on, with fewer --jobs."
        )


def _worker(task: Task, make_observer: MakeObserver, threads: int, errors: Any) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)  # its trial goes on from the last checkpoint when the command is started again

    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    observer = make_observer()
    try:
        work(task, observer)
    except FoveateError as error:
        if not isinstance(error, Interrupted):
            errors.put(str(error))
    finally:
        observer.close()
