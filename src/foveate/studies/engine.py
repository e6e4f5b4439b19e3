"""Runs a study's cells, on this machine or in a cluster: each once, several at a time, none twice, none lost.

``out/study.yaml`` is the specification, ``out/cells/<hash>/`` an ordinary run folder for every cell (with several sets
``out/cells/<set>/<hash>/``), ``out/cells.csv`` says which is which. A killed study goes on where it was when it is
started again.
"""

import math
import os
import queue
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from foveate.core import manifest
from foveate.core.cluster import Cluster
from foveate.core.errors import StudyError, first_line
from foveate.core.files import write_csv, write_json, write_text
from foveate.core.lock import alone, entries
from foveate.experiment.ownership import first_difference
from foveate.models.weights import resolve_weights
from foveate.studies.absent_masks import refuse_absent_masks
from foveate.studies.arm_pictures import keep_arm_pictures
from foveate.studies.cell_store import CellStore
from foveate.studies.cluster_worker import ClusterWorker
from foveate.studies.expectation import Expectation, expectation
from foveate.studies.same_test import refuse_other_tests
from foveate.studies.specification import Cell, Study, common_settings
from foveate.studies.worker import SHARED, ProcessWorker, Worker, attempt
from foveate.training.decisions import FILE as DECISIONS
from foveate.training.decisions import read_decisions

Hire = Callable[[int], Worker]
"""The worker of this number, from 0."""
EXPECTED = "expected.json"
"""What was said before the work."""
SHARED_DECISIONS = ("precision", "batch size")
"""Automatic choices that every arm must share, or a difference between arms could be one of rounding."""


class StudyObserver:
    """Watches a study; override what you need."""

    def begin(self, total: int, kept: Sequence[Cell], resumed: Sequence[Cell]) -> None:
        """Of ``total`` cells ``kept`` are finished already, and ``resumed`` go on from where they were stopped."""

    wants_expectation = False
    """Whether ``expected`` is to be called: some steps are timed for it."""

    def expected(self, found: Expectation) -> None:
        """What is ahead: trainings, time, what could be shown."""

    def reused(self, cells: Sequence[Cell]) -> None:
        """Cells that another study on this machine has computed, and that were copied."""

    def started(self, cell: Cell) -> None:
        """A cell is being trained."""

    def done(self, cell: Cell, done: int, total: int, seconds_left: float) -> None:
        """A cell is finished."""

    def failed(self, cell: Cell, error: str) -> None:
        """A cell failed; the others go on."""

    def stopped(self, left: Sequence[Cell]) -> None:
        """The time limit has passed; these cells were not begun."""


def run_study(
    study: Study, data: Path | str | None, out: Path | str, *, jobs: int | None = None, threads: int | None = None,
    quarantine: bool = False, observer: StudyObserver | None = None, time_limit: float | None = None,
    ray: str | None = None, gpus: float = 0,
) -> Path:  # fmt: skip
    """Compute every cell that is not there yet.

    Args:
        data: a folder (or CSV manifest) of pictures, the same for all cells; None: the folders of ``study.data``.
        out: the study's folder: new, or this study's own.
        jobs: cells at a time, each in a worker process; 0 trains in this process (for debugging). None: 1, in a cluster
            as many as fit.
        threads: of each cell; the machine's cores divided by ``jobs`` if not said, in a cluster those of the smallest
            node. Results repeat bit for bit with the same number.
        quarantine: leave out pictures with errors instead of refusing.
        time_limit: minutes after which no cell is begun; those at work are finished.
        ray: a cluster to compute in, whose nodes all see ``out`` and the pictures; see ``Cluster``.
        gpus: in a cluster, of each cell.

    Raises:
        StudyError: ``out`` holds another study; no folder is named, or two ways; the arms of a block would be tested on
            different pictures.
        BusyError: another process is working on it.
        RunError: a finished cell is not as it was written.
        ConfigError, WeightsError: an arm does not fit the experiment, or its weights are not there.
        KeyboardInterrupt: stopped; what is finished is kept, and the same command goes on.
    """
    out, observer = Path(out), observer or StudyObserver()
    if (data is None) == (not study.data):
        raise StudyError(
            "A study needs a folder of pictures, or sets of its own ('data' in its file), not both."
        )
    folders = {name: Path(path) for name, path in study.data.items()} if data is None else {"": Path(data)}
    cells = study.cells()
    unique = list({cell.key: cell for cell in cells}.values())
    refuse_other(study, out)  # before a lock is left there
    missing = [cell.experiment.model for cell in unique if not is_finished(out, cell)]
    for model in {model.model_dump_json(): model for model in missing}.values():
        resolve_weights(model)  # before any work: a block may need another network than the first
    with ExitStack() as held:
        held.enter_context(alone(out))
        refuse_other(study, out)
        jobs, threads, hire = _workers(held, out, jobs, threads, ray, gpus)
        write_text(out / "study.yaml", study.to_yaml())
        folds = study.split == "folds"
        write_csv(
            out / "cells.csv",
            ("block", "arm", "seed", *(["fold"] * folds), "cell"),
            [(c.block, c.arm, c.seed, *([c.fold] * folds), c.key) for c in cells],
        )
        for file in (out / "cells").rglob("*.failed.json"):
            file.unlink()  # what failed is tried again
        before = [cell for cell in unique if not is_finished(out, cell)]
        if before:
            refuse_absent_masks(cells, folders, quarantine)
            refuse_other_tests(cells, folders, quarantine)
        kept = [cell for cell in unique if cell not in before]
        for cell in kept:
            manifest.check(folder_of(out, cell))
        observer.begin(len(unique), kept, [c for c in before if (folder_of(out, c) / "checkpoint").is_dir()])
        ahead = [cell for cell in before if cell.key not in twins(cells)]
        if observer.wants_expectation and ahead:
            found = expectation(study, folders, cells, ahead, jobs, threads, quarantine, out)
            write_json(out / EXPECTED, asdict(found))
            observer.expected(found)
        ends = math.inf if time_limit is None else time.monotonic() + 60 * time_limit
        _Engine(study, folders, out, jobs, threads, hire, quarantine, observer, unique, ends).run(before)
        if not study.keep_weights and all(is_finished(out, cell) for cell in unique):
            keep_arm_pictures(study, out)
        for place in folders:
            shutil.rmtree(out / "cells" / place / SHARED, ignore_errors=True)
    return out


def _workers(
    held: ExitStack, out: Path, jobs: int | None, threads: int | None, ray: str | None, gpus: float
) -> tuple[int, int, Hire]:
    """How many cells at a time, threads of each, and who computes them; ``held`` keeps the cluster."""
    if ray is None:
        jobs = 1 if jobs is None else jobs
        own = threads or max(1, (os.cpu_count() or 1) // max(1, jobs))
        return jobs, own, lambda number: ProcessWorker(own, out / "cells" / f"worker-{number}.log")
    cluster = held.enter_context(Cluster(ray, threads, gpus))
    return jobs or cluster.slots, cluster.cpus, lambda number: ClusterWorker(cluster, out)


def refuse_other(study: Study, out: Path) -> None:
    """Check that ``out`` is new or this study's folder; seeds and arms may be added to a study.

    Raises:
        StudyError: it holds another study, or something else.
    """
    file = out / "study.yaml"
    if file.is_file():
        found = Study.from_yaml(file)
        name, *values = first_difference(common_settings(found), common_settings(study))
        if name:
            there, here = ("not set" if value is None else repr(value) for value in values)
            raise StudyError(
                f"{out} holds the study '{found.name}' with other settings: {name.removeprefix('base.')} is {there} "
                f"there and {here} here; choose another --out, or repeat its settings."
            )
    elif entries(out):
        raise StudyError(f"{out} is not empty and is not a study folder; choose another --out.")


def folder_of(out: Path, cell: Cell) -> Path:
    """The cell's run folder."""
    return out / "cells" / cell.key


def is_finished(out: Path, cell: Cell) -> bool:
    """Whether the cell's run is done."""
    return (folder_of(out, cell) / "result.json").is_file()


def twins(cells: Sequence[Cell]) -> dict[str, Cell]:
    """{key of a cell: the first cell that trains the very same network}; such a cell is measured, not trained.

    A cell whose last layer is fitted again takes the network of one in which it is not.
    """
    first: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        if cell.experiment.last_layer is None:
            first.setdefault((cell.place, cell.experiment.training_hash()), cell)
    others = ((cell, first.get((cell.place, cell.experiment.training_hash()), cell)) for cell in cells)
    return {cell.key: other for cell, other in others if other.key != cell.key}


def _undecided(cells: Sequence[Cell]) -> bool:
    return any(
        c.experiment.training.precision == "auto" or c.experiment.training.batch_size == "auto" for c in cells
    )


def _decisions_in(folder: Path) -> list[dict[str, Any]]:
    file = folder / DECISIONS
    return [asdict(decision) for decision in read_decisions(file)] if file.is_file() else []


def _adopt_decisions(out: Path, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The first cell's choices, for all; a phase in which it had nothing to measure takes the measured precision."""
    shared = {
        d["name"]: d
        for d in _decisions_in(folder_of(out, cells[0]))
        if d["name"].startswith(SHARED_DECISIONS)
    }
    measured = [d for name, d in shared.items() if name.startswith("precision: ")]
    phases = {phase.name for cell in cells for phase in cell.experiment.training.phases}
    for name in sorted(f"precision: {phase}" for phase in phases):
        if measured and name not in shared:
            reason = f"as {measured[-1]['name'].removeprefix('precision: ')}, so that all arms compute alike"
            shared[name] = {**measured[-1], "name": name, "reason": reason}
    write_json(out / DECISIONS, list(shared.values()))
    return list(shared.values())


class _Engine:
    """Takes cells from other studies or hands them to workers, and notes what becomes of them."""

    def __init__(
        self, study: Study, folders: dict[str, Path], out: Path, jobs: int, threads: int, hire: Hire, quarantine: bool,
        observer: StudyObserver, cells: Sequence[Cell], ends: float,
    ) -> None:  # fmt: skip
        self.study, self.folders, self.out, self.jobs, self.hire = study, folders, out, jobs, hire
        self.quarantine, self.observer, self.cells, self.ends = quarantine, observer, cells, ends
        self.stores = {name: CellStore(path, threads) for name, path in folders.items()}
        self.twins = twins(study.cells())
        self.decisions = _decisions_in(out)
        self.seconds: list[float] = []

    def run(self, cells: Sequence[Cell]) -> None:
        """Finish these cells."""
        for start in {cell.start.key: cell.start for cell in cells if cell.start}.values():
            self.stores[start.place].fetch(start, folder_of(self.out, start), [], True)
        copied: list[Cell] = []
        tried: list[Cell] = []
        if cells and not self.decisions and _undecided(cells):
            # One cell alone measures what is to be decided for all; another study may have done so.
            first = cells[0]
            if self._fetch(first):
                copied = [first]
            else:
                tried = [first]
                self._compute(tried)
            self.decisions = _adopt_decisions(self.out, cells)
        copied += [cell for cell in cells if self._fetch(cell)]
        if copied:
            self.observer.reused(copied)
        # A first cell that failed was told already; the next call tries it again.
        pending = [cell for cell in cells if not is_finished(self.out, cell) and cell not in tried]
        # What only measures another cell's network comes after all training, so that it need not wait.
        self._compute(sorted(pending, key=lambda cell: cell.key in self.twins))
        left = [cell for cell in pending if not self._begun(cell)] if time.monotonic() > self.ends else []
        if left:
            self.observer.stopped(left)

    def _begun(self, cell: Cell) -> bool:
        """Whether it was finished, or tried and failed."""
        return is_finished(self.out, cell) or (self.out / "cells" / f"{cell.key}.failed.json").is_file()

    def _fetch(self, cell: Cell) -> bool:
        return self.stores[cell.place].fetch(
            cell, folder_of(self.out, cell), self.decisions, self._keeps(cell)
        )

    def _keeps(self, cell: Cell) -> bool:
        """The networks of the first pair stay until they were looked at."""
        return self.study.keep_weights or cell.pair == self.cells[0].pair

    def _compute(self, cells: Sequence[Cell]) -> None:
        if self.jobs == 0 or not cells:
            for cell in cells:
                if time.monotonic() < self.ends:
                    self.observer.started(cell)
                    self._note(cell, attempt(self._task(cell)))
            return
        count = min(self.jobs, len(cells))
        workers = [self.hire(k) for k in range(count)]
        free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        answers: queue.SimpleQueue[tuple[Cell, dict[str, Any] | None]] = queue.SimpleQueue()

        def ask(cell: Cell) -> None:
            worker = free.get()
            if time.monotonic() < self.ends:
                answers.put((cell, None))
                try:
                    answer = worker.ask(self._task(cell))
                except Exception as error:  # noqa: BLE001 (the loop below waits for an answer, whatever happened)
                    answer = {"error": f"Its worker failed ({type(error).__name__}: {first_line(error)})."}
                answers.put((cell, answer))
            else:
                answers.put((cell, {}))
            free.put(worker)

        pool = ThreadPoolExecutor(count)
        try:
            for worker in workers:
                free.put(worker)
            for cell in cells:
                pool.submit(ask, cell)
            left = len(cells)
            while left:
                cell, answer = answers.get()
                if answer is None:
                    self.observer.started(cell)
                else:
                    left -= 1
                    if answer:
                        self._note(cell, answer)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            with ThreadPoolExecutor(count) as stopping:  # all at once: each may have something to save
                list(stopping.map(lambda worker: worker.stop(), workers))

    def _task(self, cell: Cell) -> dict[str, Any]:
        twin = self.twins.get(cell.key)
        return {
            "experiment": cell.experiment.to_dict(), "data": str(self.folders[cell.place]),
            "folder": str(folder_of(self.out, cell)), "quarantine": self.quarantine, "decisions": self.decisions,
            "keep": self._keeps(cell), "twin": str(folder_of(self.out, twin)) if twin else None,
        }  # fmt: skip

    def _note(self, cell: Cell, answer: dict[str, Any]) -> None:
        if "error" in answer:
            failed = {"cell": str(cell), "error": answer["error"]}
            write_json(self.out / "cells" / f"{cell.key}.failed.json", failed)
            self.observer.failed(cell, answer["error"])
            return
        self.seconds.append(answer["seconds"])
        self.stores[cell.place].remember(cell, folder_of(self.out, cell), self.decisions)
        if cell.start:
            self.stores[cell.place].remember(cell.start, folder_of(self.out, cell.start), [])
        total, done = len(self.cells), sum(is_finished(self.out, one) for one in self.cells)
        left = sum(self.seconds) / len(self.seconds) * (total - done) / max(1, self.jobs)
        self.observer.done(cell, done, total, left)
