"""A study's folder -> its tables, figures and report, from the finished cells alone."""

from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from foveate.core.errors import StudyError
from foveate.core.files import write_json, write_text
from foveate.core.reading import read_json
from foveate.experiment import Run
from foveate.reporting.arm_sheets import picture_sheets
from foveate.reporting.page import leaves
from foveate.reporting.paper import write_paper
from foveate.reporting.study import build_study_report, write_figures
from foveate.reporting.study_confusion import confusions
from foveate.reporting.table_files import to_csv, write_tables, written
from foveate.studies.analysis import analyse
from foveate.studies.engine import folder_of
from foveate.studies.learning_curves import Trim
from foveate.studies.paper_setup import guide_words, setup
from foveate.studies.settings_table import pretext_table, settings_table
from foveate.studies.specification import Study
from foveate.studies.statistics import FEWEST
from foveate.studies.study_reader import LOOKS, open_study, read_study
from foveate.studies.tables import Measured

COSTS = ("train_seconds", "peak_memory", "peak_device_memory")
"""Of a cell, as result.json names them."""
NOTHING: tuple[Any, ...] = ("", None, [], {})
"""Settings that say nothing."""


def is_study(folder: Path) -> bool:
    """Whether ``folder`` holds a study."""
    return (folder / "study.yaml").is_file()


def measure_study(folder: Path | str) -> Measured:
    """{block: (results, analysis)} of what is finished so far.

    Raises:
        StudyError: not a study folder, one of which only the tables were kept, or cells that do not fit together.
    """
    tables = Path(folder) / "table.md"
    if tables.is_file() and not (Path(folder) / "cells").is_dir():
        raise StudyError(
            f"{folder} keeps the tables of a study without its runs, from which alone they could be computed again; "
            f"read {tables}, or run the study of its study.yaml in another folder."
        )
    return {block: (results, analyse(results)) for block, results in read_study(folder).items()}


def publish_study(
    folder: Path | str, out: Path | None = None, *, trim: Trim = "shortest", measured: Measured | None = None
) -> Path:
    """Write tables (CSV, Markdown, LaTeX, HTML), settings, curves.csv, figures/, paper.md and report.html.

    Args:
        out: another place for the report.
        trim: where mean curves end: with the first run that ended, or with the last.
        measured: what ``measure_study`` gave; None: measured here.

    Returns the report's path.
    """
    folder = Path(folder)
    measured = measure_study(folder) if measured is None else measured
    note_look(folder, measured)
    write_tables(folder, measured)
    info = study_info(folder)
    settings = info["settings"]
    write_text(folder / "settings.csv", to_csv(settings[0]))
    write_text(folder / "settings.md", "\n".join(written(table, "md") for table in settings))
    write_figures(folder / "figures", measured, trim=trim)
    study = open_study(folder)
    write_paper(folder, measured, named=bool(study.primary), setup=setup(study, folder))
    return build_study_report(measured, out or folder / "report.html", info, trim=trim)


def note_look(folder: Path, measured: Measured) -> None:
    """Keep with how many seeds results were looked at, and how many were planned at the first look."""
    stage = next((results.stage for results, _ in measured.values()), None)
    if stage is None or stage.done < FEWEST:
        return
    file = folder / LOOKS
    known = read_json(file, dict, StudyError) if file.is_file() else {}
    seen = {stage.done, *known.get("seen", ())}
    write_json(file, {"planned": known.get("planned", stage.looks[-1]), "seen": sorted(seen)})


def study_info(folder: Path) -> dict[str, Any]:
    """What the numbers do not say: name, command, environment, what each arm changes, splits, the base experiment."""
    study = open_study(folder)
    done = [(cell, run) for cell in study.cells() if (run := Run(folder_of(folder, cell))).finished]
    environment = done[0][1].environment if done else {}
    hashes: dict[str, dict[int, str]] = {block: {} for block in study.block_names}
    costs: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in COSTS}
    for cell, run in done:
        hashes[cell.block][cell.pair] = run.result["split_hash"]
        for name in COSTS:
            if (value := run.result.get(name)) is not None:
                costs[name][cell.arm].append(value)
    pictures = "" if study.data else f" --data {environment.get('data', 'DATA')}"
    shown = ("data", "versions", "python", "platform", "processors", "threads", "accelerator")
    return {
        "name": study.name,
        "command": f"foveate study run study.yaml{pictures} --out {folder}",
        "environment": {name: environment[name] for name in shown if name in environment},
        "arm_differences": arm_differences(study),
        "costs": {
            name: {arm: median(found) for arm, found in by_arm.items()}
            for name, by_arm in costs.items()
            if by_arm
        },
        "split_hashes": hashes,
        "settings": list(filter(None, (settings_table(study, folder), pretext_table(study, folder)))),
        "confusions": confusions(study, folder),
        "sheets": list(picture_sheets(study, folder)),
        "experiment": yaml.safe_dump(study.base, sort_keys=False, allow_unicode=True),
    }


def arm_differences(study: Study) -> dict[str, list[str]]:
    """{arm: what its guide does, then what it changes, adds or leaves out, a line for each field}, from the first block
    and seed. Of what is added, the fields that the arm names, where it names any: the others have their defaults."""
    first = {
        cell.arm: cell.experiment for cell in reversed(study.cells()) if cell.block == study.block_names[0]
    }
    settings = {arm: dict(leaves(experiment.to_dict())) for arm, experiment in first.items()}
    baseline = settings[study.baseline_arm]
    found = {}
    for arm, mine in settings.items():
        both = [name for name in mine if name in baseline and mine[name] != baseline[name]]
        added = [name for name in mine if name not in baseline and mine[name] not in NOTHING]
        said = {name for changes in study.arm_changes()[arm] for name, _ in leaves(changes)}
        added = [name for name in added if name in said] or added
        left = [name for name in baseline if name not in mine and baseline[name] not in NOTHING]
        found[arm] = list(filter(None, [guide_words(study, arm)]))
        found[arm] += [f"{name}: {mine[name]} (baseline: {baseline[name]})" for name in both]
        found[arm] += [f"{name}: {mine[name]}" for name in added]
        found[arm] += [f"without {name}: {baseline[name]}" for name in left]
    return found
