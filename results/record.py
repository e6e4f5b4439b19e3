"""python results/record.py STUDY NAME [FIGURE ...]: what a finished study leaves in results/studies/NAME.

The specification, the tables with all their digits, the environment without the names of folders, every cell's
split hash, and the figures that are named (file names in STUDY/figures without ending).
"""

import shutil
import sys
from pathlib import Path

from foveate.core.files import write_csv, write_json
from foveate.reporting.study_folder import publish_study, study_info
from foveate.studies.engine import folder_of, is_finished
from foveate.studies.study_reader import open_study, read_study

FILES = ("study.yaml", "table.csv", "comparisons.csv", "table.md", "settings.md")
HERE = Path(__file__).parent


def record(study: Path, name: str, figures: list[str]) -> None:
    """Copy what is worth keeping; nothing that names this machine's folders."""
    publish_study(study)
    place = HERE / "studies" / name
    place.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        shutil.copyfile(study / file, place / file)
    weights = str(open_study(study).base.get("model", {}).get("weights", ""))
    if Path(weights).is_absolute():  # a folder of this machine
        text = (place / "study.yaml").read_text(encoding="utf-8")
        relative = f"weights/{Path(weights).name}"
        (place / "study.yaml").write_text(text.replace(weights, relative), encoding="utf-8")
    for figure in figures:
        shutil.copyfile(study / "figures" / f"{figure}.png", place / f"{figure}.png")
    values = [
        (block, arm, seed, name, value)
        for block, results in read_study(study).items()
        for name, arms in results.values.items()
        for arm, seeds in arms.items()
        for seed, value in seeds.items()
    ]
    write_csv(place / "values.csv", ("block", "arm", "seed", "metric", "value"), values)
    environment = study_info(study)["environment"]
    environment.pop("data", None)
    write_json(place / "environment.json", environment)
    rows = [
        (cell.block, cell.arm, cell.seed, cell.key, *_hashes(folder_of(study, cell)))
        for cell in open_study(study).cells()
        if is_finished(study, cell)
    ]
    write_csv(place / "cells.csv", ("block", "arm", "seed", "cell", "split_hash", "catalog_hash"), rows)


def _hashes(cell: Path) -> tuple[str, str]:
    from foveate import Run

    result = Run.open(cell).result
    return result["split_hash"], result["catalog_hash"]


if __name__ == "__main__":
    record(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
