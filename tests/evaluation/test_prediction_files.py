"""Predictions written for others carry the data set's own ids, not our row numbers."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from foveate.evaluation.prediction_files import LAYOUTS
from foveate.evaluation.predictions import PredictionTable

LOGITS = np.array([[0.0, 0.0, 9.0], [9.0, 0.0, 0.0]])


@pytest.fixture
def table() -> PredictionTable:
    paths = ["test/a.jpg", "test/b.jpg"]
    return PredictionTable.from_logits(LOGITS, np.array([-1, -1]), paths, ("17", "4780", "93"))


def test_competition_has_the_original_ids(table: PredictionTable, tmp_path: Path) -> None:
    LAYOUTS["competition"](table, tmp_path / "answers.csv")
    with open(tmp_path / "answers.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert rows == [{"file": "a.jpg", "class_id": "93"}, {"file": "b.jpg", "class_id": "17"}]
    LAYOUTS["competition"](table, tmp_path / "answers.json")
    assert json.loads((tmp_path / "answers.json").read_text(encoding="utf-8")) == rows


def test_table_as_json_names_the_class(table: PredictionTable, tmp_path: Path) -> None:
    LAYOUTS["table"](table, tmp_path / "table.json")
    rows = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert [row["prediction"] for row in rows] == ["93", "17"]
    assert rows[0]["probabilities"].keys() == {"17", "4780", "93"}
