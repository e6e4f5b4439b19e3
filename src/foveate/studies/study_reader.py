"""A study folder -> StudyResults: reads finished cells, and refuses to compare what does not fit together."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean

import numpy as np

from foveate.core.errors import StudyError
from foveate.core.reading import read_json
from foveate.data.catalog import UNLABELLED
from foveate.experiment import Run
from foveate.experiment.consumed import consumed
from foveate.studies.arm_axes import axis_values
from foveate.studies.engine import folder_of
from foveate.studies.looks import Stage
from foveate.studies.metrics import choose_metrics, measure, numbers
from foveate.studies.results import SWAPPED, Pictures, StudyResults
from foveate.studies.same_test import judged
from foveate.studies.specification import Cell, Study

FINAL = "final.json"
"""The network that was trained on all pictures, and what to expect of it."""
LOOKS = "looks.json"
"""What was planned when results were first looked at, and with how many seeds they were."""
OVER_SETS = (
    "Each set counts once, by its mean difference; the interval is over sets, for further sets of such a kind, and "
    "nothing is said about further seeds on these."
)


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
    """What is measured so far, {block: results}; without blocks and sets the only key is "".

    With sets, each has its results, and "all sets" holds those in which a set is a pair.

    Raises:
        StudyError: the folder is not a study; two cells that should share their test pictures do not; a cell's
            folder holds another experiment.
    """
    folder = Path(folder)
    study = open_study(folder)
    cells = study.cells()
    runs = {cell.key: Run(folder_of(folder, cell)) for cell in cells}
    notes, stage = _check_splits(study, cells, runs) + _final(folder), stage_of(study, folder)
    found = {
        block: _results(study, folder, [cell for cell in cells if cell.block == block], runs, notes, stage)
        for block in study.block_names
    }
    for name, tables in study.sets_of.items():
        found[name] = over_sets({place: found[table] for place, table in tables.items()})
    return found


def stage_of(study: Study, folder: Path) -> Stage:
    """How many seeds are done, of those that were planned when results were first looked at."""
    waiting = {
        cell.seed
        for cell in study.cells()
        if not any(
            (folder / "cells" / f"{cell.key}{ending}").is_file()
            for ending in ("/result.json", ".failed.json")
        )
    }
    file = folder / LOOKS
    first = read_json(file, dict, StudyError).get("planned") if file.is_file() else len(study.seeds)
    if type(first) is not int:
        raise StudyError(
            f"{file} does not say how many seeds were planned; remove it, and those of the study's file count."
        )
    return Stage(study.looks or (first,), len(set(study.seeds) - waiting), study.spending)


def _final(folder: Path) -> tuple[str, ...]:
    """A note on the network that was trained on all pictures."""
    if not (folder / FINAL).is_file():
        return ()
    found = read_json(folder / FINAL, dict, StudyError)
    accuracy = found.get("expected_accuracy")
    expected = (
        "" if accuracy is None else f"; expect the {100 * accuracy:.1f} % of this study's test pictures"
    )
    return (
        f"A network of '{found.get('arm')}' was trained once more, on all pictures, in {found.get('run')}{expected}.",
    )


def primary(study: Study, cells: Iterable[Cell], measured: Iterable[str]) -> str:
    """Name of the metric that the study is about; "" when it is not measured."""
    guided = any("masks" in consumed(cell.experiment) for cell in cells)
    rule = [SWAPPED] * guided + ["test.accuracy", "val.accuracy"]
    names = set(measured)
    return next((name for name in ([study.primary] if study.primary else rule) if name in names), "")


def _check_splits(study: Study, cells: list[Cell], runs: dict[str, Run]) -> tuple[str, ...]:
    """Arms must share their test pictures; a note where they divide the others differently."""
    first: dict[tuple[str, int], Cell] = {}
    otherwise: dict[str, None] = {}
    for cell in cells:
        run = runs[cell.key]
        if not run.finished:
            continue
        if run.result["experiment_hash"] != cell.experiment.hash():
            raise StudyError(
                f"{run.folder} holds another experiment than {cell}; remove that folder and run again."
            )
        other = first.setdefault((cell.block, 0 if study.split == "shared" else cell.pair), cell)
        ours, theirs = (one.result["split_hash"] for one in (run, runs[other.key]))
        if ours == theirs:
            continue
        if judged(run.catalog) != judged(runs[other.key].catalog):
            raise StudyError(
                f"The cells '{other}' and '{cell}' have different splits ({theirs} and {ours}) with other test "
                "pictures, so they cannot be compared: the pictures changed between them, or an arm changes "
                "data.split (make it a block)."
            )
        if cell.arm != other.arm:
            otherwise[f"'{cell.arm}' divides training and validation otherwise than '{other.arm}'"] = None
    return (f"{'; '.join(otherwise)}: the test pictures are the same.",) if otherwise else ()


def _overlap(runs: list[Run]) -> float:
    """Test pictures over those that train and validate, on average: 1 / (K - 1) where folds are equal."""
    shares = []
    for run in runs:
        used = sum(s.split != "" and s.label != UNLABELLED for s in run.catalog.samples)
        tested = len(judged(run.catalog))
        shares.append(tested / (used - tested))
    return fmean(shares) if shares else 0.0


def _results(
    study: Study, folder: Path, cells: list[Cell], runs: dict[str, Run], notes: tuple[str, ...], stage: Stage
) -> StudyResults:
    done = [runs[cell.key] for cell in cells if runs[cell.key].finished]
    metrics = choose_metrics(study.metrics, tuple(done[0].environment["class_ids"]) if done else ())
    arms = tuple(study.arm_changes())
    values: dict[str, dict[str, dict[int, float]]] = {m.name: {arm: {} for arm in arms} for m in metrics}
    pictures: dict[str, dict[int, Pictures]] = {arm: {} for arm in arms}
    histories: dict[str, dict[int, list[dict[str, float]]]] = {arm: {} for arm in arms}
    failures = {}
    for cell in cells:
        run = runs[cell.key]
        if run.finished:
            for name, value in measure(run, metrics).items():
                values[name][cell.arm][cell.pair] = value
            histories[cell.arm][cell.pair] = numbers(run)
            if tested := _pictures(run):
                pictures[cell.arm][cell.pair] = tested
            continue
        failed = folder / "cells" / f"{cell.key}.failed.json"
        if failed.is_file():
            failures[cell.arm, cell.pair] = str(read_json(failed, dict, StudyError).get("error"))
    folds = study.split == "folds"
    measured = tuple(m for m in metrics if any(values[m.name].values()))
    if done and study.metrics and len(measured) < len(metrics):
        absent = ", ".join(m.name for m in metrics if m not in measured)
        notes += (f"Asked for, but measured in no cell: {absent}.",)
    if study.primary and study.primary not in [m.name for m in measured]:
        notes += (f"The primary metric, {study.primary}, is measured in no cell.",)
    if unjudged := [name for name in study.margin if name not in [m.name for m in metrics]]:
        notes += (f"A margin is set for {', '.join(unjudged)}, which is no metric of this study.",)
    return StudyResults(
        study.name, arms, study.baseline_arm, tuple(dict.fromkeys(cell.pair for cell in cells)), measured,
        {m.name: values[m.name] for m in measured}, pictures, histories, failures, axis_values(study),
        unit="fold" if folds else "seed",
        names={cell.pair: f"seed {cell.seed}, fold {cell.fold}" for cell in cells} if folds else {},
        overlap=_overlap(done) if folds else 0.0, notes=notes,
        margins={
            m.name: study.margin[m.name] / (100 if m.percent else 1) for m in measured if m.name in study.margin
        },
        primary=primary(study, cells[: len(arms)], [m.name for m in measured]),
        primary_arm=study.leading_arm, stage=stage,
    )  # fmt: skip


def over_sets(sets: Mapping[str, StudyResults]) -> StudyResults:
    """Results whose pairs are sets: each value is a set's mean over the pairs that all its arms have.

    Metrics are those of all sets that have measured any. A set in which some arm has nothing counts for none; the notes
    name what is left out.
    """
    first, *_ = sets.values()
    notes = [OVER_SETS]
    begun = [results for results in sets.values() if results.metrics]
    known = list(dict.fromkeys(m for results in begun for m in results.metrics))
    metrics = [m for m in known if all(m in results.metrics for results in begun)]
    values: dict[str, dict[str, dict[int, float]]] = {
        m.name: {arm: {} for arm in first.arms} for m in metrics
    }
    for number, (place, results) in enumerate(sets.items()):
        for name, by_arm in values.items():
            shared = _shared(results, [name])
            for arm in first.arms if shared else ():
                by_arm[arm][number] = fmean(results.values[name][arm][pair] for pair in shared)
        complete, total = len(_shared(results, results.values)), len(results.seeds)
        if complete < total:
            counts = f"with {complete} of {total} {results.unit}s" if complete else "for nothing"
            failed = f"; {len(results.failures)} cells failed" if results.failures else ""
            notes.append(f"{place} counts {counts}, since not every arm has finished there{failed}.")
    if len(metrics) < len(known):
        left_out = ", ".join(m.title for m in known if m not in metrics)
        notes.append(f"Not every set measures, so that only the tables of those that do show: {left_out}.")
    return StudyResults(
        first.name, first.arms, first.baseline, tuple(range(len(sets))), tuple(metrics), values, axes=first.axes,
        unit="set", names=dict(enumerate(sets)), sets=dict(sets), notes=tuple(notes), margins=first.margins,
        primary=first.primary if first.primary in values else "", primary_arm=first.primary_arm, stage=first.stage,
    )  # fmt: skip


def _shared(results: StudyResults, names: Iterable[str]) -> list[int]:
    """Pairs for which every arm has a value of one of these metrics."""
    found = [
        {pair for name in names for pair in results.values.get(name, {}).get(arm, ())} for arm in results.arms
    ]
    return sorted(set.intersection(*found))


def _pictures(run: Run) -> Pictures | None:
    table = run.predictions
    rows = np.flatnonzero((table.split == "test") & (table.label >= 0))
    if not len(rows):
        return None
    rows = rows[np.argsort(table.path[rows])]
    energy = table.look.get("energy_in_mask")
    return Pictures(
        tuple(str(p) for p in table.path[rows]),
        table.prediction[rows] == table.label[rows],
        None if energy is None else energy[rows].astype(np.float64),
    )
