"""Predictions in the forms that others read: the full table, or a competition's two columns; CSV or JSON."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.files import write_csv, write_json
from foveate.evaluation.predictions import PredictionTable


def write_table(table: PredictionTable, path: Path) -> None:
    """Every column: path, prediction, confidence, probabilities ..."""
    if path.suffix == ".csv":
        table.to_csv(path)
        return
    rows: list[dict[str, Any]] = [
        {
            "path": str(table.path[i]),
            "prediction": table.class_ids[table.prediction[i]],
            "confidence": float(table.confidence[i]),
            "probabilities": dict(zip(table.class_ids, table.probabilities[i].tolist(), strict=True)),
            **{name: float(values[i]) for name, values in table.look.items()},
            **_possible(table, i),
        }
        for i in range(len(table))
    ]
    write_json(path, rows)


def _possible(table: PredictionTable, row: int) -> dict[str, list[str]]:
    return (
        {}
        if table.possible is None
        else {"possible": np.array(table.class_ids)[table.possible[row]].tolist()}
    )


def write_competition(table: PredictionTable, path: Path) -> None:
    """Two columns: the file's name, and the predicted class's own id (4780, not 17).

    Where two files have one name, all are told by their paths.
    """
    paths = [Path(str(path)) for path in table.path]
    unique = len({path.name for path in paths}) == len(set(paths))
    names = [path.name if unique else path.as_posix() for path in paths]
    rows = [(name, table.class_ids[c]) for name, c in zip(names, table.prediction, strict=True)]
    if path.suffix == ".csv":
        write_csv(path, ("file", "class_id"), rows)
    else:
        write_json(path, [{"file": name, "class_id": class_id} for name, class_id in rows])


LAYOUTS: dict[str, Callable[[PredictionTable, Path], None]] = {
    "table": write_table,
    "competition": write_competition,
}
