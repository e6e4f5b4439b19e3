"""The same test pictures under every arm, in the report of a study: picture, each arm's map over it, its answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foveate.core.errors import FoveateError
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment import Run
from foveate.reporting.pictures import gallery_picture
from foveate.studies.arm_pictures import ARMS, ArmPictures, arm_pictures, first_cells
from foveate.studies.engine import folder_of
from foveate.studies.specification import Cell, Study

TABLES = 4
"""The first of a study with more blocks and sets."""
SIDE = 160
"""Longest side of a picture in pixels."""


def picture_sheets(study: Study, folder: Path) -> Iterator[dict[str, Any]]:
    """Of each table: ``block``, ``pair``, ``rows`` (a picture each), or ``why`` there is none."""
    runs = {cell.key: Run(folder_of(folder, cell)) for cell in study.cells()}
    for block in study.block_names[:TABLES]:
        cells = first_cells(study, block, runs)
        sheet = {"block": block, "rows": [], "why": "", "left": len(study.arm_changes()) - ARMS}
        try:
            found = arm_pictures(study, folder, block, runs)
        except FoveateError as error:
            yield sheet | {"why": str(error).rstrip(".")}
            continue
        if found is not None:
            pair = f"seed {cells[0].seed}" + ("" if cells[0].fold is None else f", fold {cells[0].fold}")
            yield sheet | {"pair": pair, "rows": list(_rows(found, cells, runs))}


def _rows(found: ArmPictures, cells: list[Cell], runs: dict[str, Run]) -> Iterator[dict[str, Any]]:
    tables = {cell.key: runs[cell.key].predictions.of_split("test") for cell in cells}
    places = {key: {path: i for i, path in enumerate(table.path.tolist())} for key, table in tables.items()}
    fits = {cell.key: cell.experiment.data.fit for cell in cells}
    for k, path in enumerate(found.path.tolist()):
        views = []
        for cell in cells:
            key = cell.key
            picture = gallery_picture(found.images[fits[key]][k], None, found.maps[key][k], SIDE)
            views.append(
                {"arm": cell.arm, "uri": picture, **_answer(runs[key], tables[key], places[key][path])}
            )
        plain = gallery_picture(found.images[fits[cells[0].key]][k], None, None, SIDE)
        yield {
            "path": path, "label": views[0]["label"], "drawn": bool(found.drawn[k]), "uri": plain, "views": views
        }  # fmt: skip


def _answer(run: Run, table: PredictionTable, row: int) -> dict[str, Any]:
    label = int(table.label[row])
    return {
        "label": run.class_names[label], "prediction": run.class_names[int(table.prediction[row])],
        "right": bool(table.correct[row]), "probability": float(table.probabilities[row, label]),
    }  # fmt: skip
