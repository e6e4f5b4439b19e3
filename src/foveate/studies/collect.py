"""A study folder -> StudyResults: reads finished cells, and refuses to compare what does not fit together."""

from pathlib import Path

import numpy as np

from foveate.core.errors import StudyError
from foveate.core.reading import read_json
from foveate.experiment import Run
from foveate.studies.axes import axis_values
from foveate.studies.engine import folder_of
from foveate.studies.metrics import choose_metrics, measure, numbers
from foveate.studies.results import Pictures, StudyResults
from foveate.studies.specification import Cell, Study


def open_study(folder: Path | str) -> Study:
    """The study of a folder.

    Raises:
        StudyError: the folder is not a study.
    """
    file = Path(folder) / "study.yaml"
    if not file.is_file():
        raise StudyError(f"{folder} is not a study folder: it has no study.yaml.")
    return Study.from_yaml(file)


def read_study(folder: Path | str) -> dict[str, StudyResults]:
    """What is measured so far, {block: results}; without blocks the only key is "".

    Raises:
        StudyError: the folder is not a study; two cells that should share a split do not; a cell's folder holds
            another experiment.
    """
    folder = Path(folder)
    study = open_study(folder)
    cells = study.cells()
    runs = {cell.key: Run(folder_of(folder, cell)) for cell in cells}
    _check_splits(study, cells, runs)
    return {
        block: _results(study, folder, [cell for cell in cells if cell.block == block], runs)
        for block in study.block_names
    }


def split_hashes(folder: Path | str) -> dict[str, dict[int, str]]:
    """{block: {seed: hash of the split that all arms share}} of the finished cells."""
    folder = Path(folder)
    study = open_study(folder)
    found: dict[str, dict[int, str]] = {block: {} for block in study.block_names}
    for cell in study.cells():
        run = Run(folder_of(folder, cell))
        if run.finished:
            found[cell.block][cell.seed] = run.result["split_hash"]
    return found


def _check_splits(study: Study, cells: list[Cell], runs: dict[str, Run]) -> None:
    first: dict[tuple[str, int], tuple[Cell, str]] = {}
    for cell in cells:
        run = runs[cell.key]
        if not run.finished:
            continue
        if run.result["experiment_hash"] != cell.key:
            raise StudyError(
                f"{run.folder} holds another experiment than {cell}; remove that folder and run again."
            )
        place = (cell.block, cell.seed if study.split == "per_seed" else 0)
        other, split = first.setdefault(place, (cell, run.result["split_hash"]))
        if split != run.result["split_hash"]:
            raise StudyError(
                f"The cells '{other}' and '{cell}' have different splits ({split} and {run.result['split_hash']}), so "
                "they cannot be compared: the pictures changed between them, or an arm changes data.split (make it a "
                "block)."
            )


def _results(study: Study, folder: Path, cells: list[Cell], runs: dict[str, Run]) -> StudyResults:
    metrics = choose_metrics(study.metrics, _class_ids(list(runs.values())))
    arms = tuple(study.arm_changes())
    values: dict[str, dict[str, dict[int, float]]] = {m.name: {arm: {} for arm in arms} for m in metrics}
    pictures: dict[str, dict[int, Pictures]] = {arm: {} for arm in arms}
    histories: dict[str, dict[int, list[dict[str, float]]]] = {arm: {} for arm in arms}
    failures = {}
    for cell in cells:
        run = runs[cell.key]
        if not run.finished:
            failed = folder / "cells" / f"{cell.key}.failed.json"
            if failed.is_file():
                failures[cell.arm, cell.seed] = str(read_json(failed, dict, StudyError).get("error"))
            continue
        for name, value in measure(run, metrics).items():
            values[name][cell.arm][cell.seed] = value
        histories[cell.arm][cell.seed] = numbers(run)
        tested = _pictures(run)
        if tested:
            pictures[cell.arm][cell.seed] = tested
    measured = tuple(m for m in metrics if any(values[m.name].values()))
    return StudyResults(
        name=study.name,
        arms=arms,
        baseline=study.baseline_arm,
        seeds=study.seeds,
        metrics=measured,
        values={m.name: values[m.name] for m in measured},
        pictures=pictures,
        histories=histories,
        failures=failures,
        axes=axis_values(study),
    )


def _class_ids(runs: list[Run]) -> tuple[str, ...]:
    """The classes of the first finished cell; they are the same in all."""
    done = next((run for run in runs if run.finished), None)
    return tuple(done.environment["class_ids"]) if done else ()


def _pictures(run: Run) -> Pictures | None:
    table = run.predictions
    rows = np.flatnonzero((table.split == "test") & (table.label >= 0))
    if not len(rows):
        return None
    rows = rows[np.argsort(table.path[rows])]
    return Pictures(tuple(str(p) for p in table.path[rows]), table.prediction[rows] == table.label[rows])
