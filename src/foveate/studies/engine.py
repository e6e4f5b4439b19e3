"""Runs a study's cells on this machine: each once, several at a time, none twice, none lost.

``out/study.yaml`` is the specification, ``out/cells/<hash>/`` an ordinary run folder for every cell (with several sets
``out/cells/<set>/<hash>/``), ``out/cells.csv`` says which is which. A killed study goes on where it was when it is
started again.
"""

import os
import queue
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from foveate.core import manifest
from foveate.core.errors import StudyError
from foveate.core.files import write_csv, write_json, write_text
from foveate.core.lock import alone, entries
from foveate.models.weights import resolve_weights
from foveate.studies.cell_store import CellStore
from foveate.studies.specification import Cell, Study, common_hash
from foveate.studies.worker import SHARED, Worker, attempt
from foveate.training.decisions import FILE as DECISIONS
from foveate.training.decisions import read_decisions

SHARED_DECISIONS = ("precision", "batch size")
"""Automatic choices that every arm must share, or a difference between arms could be one of rounding."""


class StudyObserver:
    """Watches a study; override what you need."""

    def begin(self, total: int, kept: Sequence[Cell], resumed: Sequence[Cell]) -> None:
        """Of ``total`` cells ``kept`` are finished already, and ``resumed`` go on from where they were stopped."""

    def reused(self, cells: Sequence[Cell]) -> None:
        """Cells that another study on this machine has computed, and that were copied."""

    def started(self, cell: Cell) -> None:
        """A cell is being trained."""

    def done(self, cell: Cell, done: int, total: int, seconds_left: float) -> None:
        """A cell is finished."""

    def failed(self, cell: Cell, error: str) -> None:
        """A cell failed; the others go on."""

    def message(self, text: str) -> None:
        """Something worth telling happened."""


@dataclass
class _Work:
    """What is left to do, and how it goes."""

    pending: list[Cell]
    total: int
    done: int
    seconds: list[float] = field(default_factory=list)


def run_study(
    study: Study, data: Path | str | None, out: Path | str, *, jobs: int = 1, threads: int | None = None,
    quarantine: bool = False, observer: StudyObserver | None = None,
) -> Path:  # fmt: skip
    """Compute every cell that is not there yet.

    Args:
        data: a folder (or CSV manifest) of pictures, the same for all cells; None: the folders of ``study.data``.
        out: the study's folder: new, or this study's own.
        jobs: worker processes; 0 trains in this process (for debugging).
        threads: of each worker; the machine's cores divided by ``jobs`` if not said. Results repeat bit for bit with
            the same number.
        quarantine: leave out pictures with errors instead of refusing.

    Raises:
        StudyError: ``out`` holds another study; no folder is named, or two ways.
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
    threads = threads or max(1, (os.cpu_count() or 1) // max(1, jobs))
    refuse_other(study, out)  # before a lock is left there
    missing = [cell.experiment.model for cell in cells if not is_finished(out, cell)]
    for model in {model.model_dump_json(): model for model in missing}.values():
        resolve_weights(model)  # before any work: a block may need another network than the first
    with alone(out):
        claim(study, out)
        write_csv(
            out / "cells.csv",
            ("block", "arm", "seed", "fold", "cell")
            if study.split == "folds"
            else ("block", "arm", "seed", "cell"),
            [(c.block, c.arm, c.seed, *(() if c.fold is None else (c.fold,)), c.key) for c in cells],
        )
        for file in (out / "cells").rglob("*.failed.json"):
            file.unlink()  # what failed is tried again
        stores = {name: CellStore(path, threads) for name, path in folders.items()}
        unique = list({cell.key: cell for cell in cells}.values())
        shared = _decisions_in(out)
        hire = _Crew(study, folders, out, jobs, threads, quarantine, observer, stores)
        before = [cell for cell in unique if not is_finished(out, cell)]
        kept = [cell for cell in unique if cell not in before]
        for cell in kept:
            manifest.check(folder_of(out, cell))
        observer.begin(len(unique), kept, [c for c in before if (folder_of(out, c) / "checkpoint").is_dir()])
        copied: list[Cell] = []
        for start in {cell.start.key: cell.start for cell in before if cell.start}.values():
            stores[start.place].fetch(start, folder_of(out, start), [], True)
        tried: list[Cell] = []
        seconds: list[float] = []
        if before and not shared and _undecided(before):
            # One cell alone measures what is to be decided for all; another study may have done so.
            if stores[before[0].place].fetch(before[0], folder_of(out, before[0]), [], study.keep_weights):
                copied.append(before[0])
            else:
                first = _Work(before[:1], len(unique), len(unique) - len(before))
                hire.run(first, [])
                tried, seconds = before[:1], first.seconds
            shared = _adopt_decisions(out, before)
        copied += [
            c for c in before if stores[c.place].fetch(c, folder_of(out, c), shared, study.keep_weights)
        ]
        if copied:
            observer.reused(copied)
        # A first cell that failed was told already; the next call tries it again.
        pending = [cell for cell in before if not is_finished(out, cell) and cell not in tried]
        # What only measures another cell's network comes after all training, so that it need not wait.
        pending.sort(key=lambda cell: cell.key in hire.twins)
        done = sum(is_finished(out, cell) for cell in unique)
        hire.run(_Work(pending, len(unique), done, seconds), shared)
        for place in folders:
            shutil.rmtree(out / "cells" / place / SHARED, ignore_errors=True)
    return out


def claim(study: Study, out: Path) -> None:
    """Make ``out`` this study's folder, or check that it is; seeds and arms may be added to a study.

    Raises:
        StudyError: it holds another study, or something else.
    """
    refuse_other(study, out)
    write_text(out / "study.yaml", study.to_yaml())


def refuse_other(study: Study, out: Path) -> None:
    """See ``claim``; writes nothing."""
    file = out / "study.yaml"
    if file.is_file():
        found = Study.from_yaml(file)
        if common_hash(found) != common_hash(study):
            raise StudyError(
                f"{out} holds the study '{found.name}' with another base; choose another --out, or repeat its settings."
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
    """{key of a cell: the earlier cell that trains the very same network}; such a cell is measured, not trained."""
    first: dict[tuple[str, str], Cell] = {}
    found = {}
    for cell in cells:
        other = first.setdefault((cell.place, cell.experiment.training_hash()), cell)
        if other.key != cell.key:
            found[cell.key] = other
    return found


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


class _Crew:
    """Hands cells to workers and notes what becomes of them."""

    def __init__(
        self, study: Study, folders: dict[str, Path], out: Path, jobs: int, threads: int, quarantine: bool,
        observer: StudyObserver, stores: dict[str, CellStore],
    ) -> None:  # fmt: skip
        self.study, self.folders, self.out, self.jobs, self.threads = study, folders, out, jobs, threads
        self.quarantine, self.observer, self.stores = quarantine, observer, stores
        self.twins = twins(study.cells())

    def run(self, work: _Work, decisions: list[dict[str, Any]]) -> None:
        """Compute the pending cells."""
        if not work.pending:
            return
        if self.jobs == 0:
            for cell in work.pending:
                self.observer.started(cell)
                self._note(cell, attempt(self._task(cell, decisions)), work, decisions)
            return
        tasks: queue.Queue[Cell] = queue.Queue()
        for cell in work.pending:
            tasks.put(cell)
        answers: queue.Queue[tuple[Cell, dict[str, Any] | None]] = queue.Queue()
        workers = [
            Worker(self.threads, self.out / "cells" / f"worker-{k}.log")
            for k in range(min(self.jobs, len(work.pending)))
        ]
        for worker in workers:
            worker.start(tasks, answers, lambda cell: self._task(cell, decisions))
        left = len(work.pending)
        try:
            while left:
                cell, answer = answers.get()
                if answer is None:
                    self.observer.started(cell)
                    continue
                left -= 1
                self._note(cell, answer, work, decisions)
        finally:
            for worker in workers:
                worker.stop()

    def _task(self, cell: Cell, decisions: list[dict[str, Any]]) -> dict[str, Any]:
        twin = self.twins.get(cell.key)
        return {
            "experiment": cell.experiment.to_dict(), "data": str(self.folders[cell.place]),
            "folder": str(folder_of(self.out, cell)), "quarantine": self.quarantine, "decisions": decisions,
            "keep": self.study.keep_weights, "twin": str(folder_of(self.out, twin)) if twin else None,
        }  # fmt: skip

    def _note(self, cell: Cell, answer: dict[str, Any], work: _Work, decisions: list[dict[str, Any]]) -> None:
        if "error" in answer:
            write_json(
                self.out / "cells" / f"{cell.key}.failed.json", {"cell": str(cell), "error": answer["error"]}
            )
            self.observer.failed(cell, answer["error"])
            return
        work.done += 1
        work.seconds.append(answer["seconds"])
        self.stores[cell.place].remember(cell, folder_of(self.out, cell), decisions)
        if cell.start:
            self.stores[cell.place].remember(cell.start, folder_of(self.out, cell.start), [])
        remaining = work.total - work.done
        mean = sum(work.seconds) / len(work.seconds)
        self.observer.done(cell, work.done, work.total, mean * remaining / max(1, self.jobs))
