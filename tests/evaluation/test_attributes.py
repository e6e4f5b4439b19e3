"""Accuracy by attribute: by hand, through the file, and through a run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foveate.core.errors import DataError
from foveate.core.intervals import wilson
from foveate.data.catalog import Catalog
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.summary import summarise
from foveate.experiment import Run, run
from foveate.reporting.report import build_report
from foveate.studies.metrics import METRICS, measure
from training_helpers import experiment


def made(answers: str, labels: str, place: list[str]) -> PredictionTable:
    """Two classes a and b; what was answered and what is true, a letter each ("-" = unlabelled)."""
    logits = np.array([[2.0, 0.0] if letter == "a" else [0.0, 2.0] for letter in answers])
    table = PredictionTable.from_logits(
        logits, np.array(["ab".find(letter) for letter in labels]), [f"{k}.png" for k in range(len(labels))],
        ("a", "b"), splits=["test"] * len(labels),
    )  # fmt: skip
    return replace(table, attributes={"place": np.array(place)})


def test_by_hand() -> None:
    #             sea: a right, b wrong; land: b right, a wrong; one unknown, one unlabelled
    table = made("aaaa" "bbbbb" "a" "b", "aaab" "bbbba" "b" "-", ["sea"] * 4 + ["land"] * 5 + ["", "sea"])  # fmt: skip
    found = summarise(table, "test")
    low, high = wilson(3, 4)
    assert found["attributes"]["place"]["values"] == [
        {"value": "land", "n": 5, "correct": 4, "accuracy": 0.8, "accuracy_low": wilson(4, 5)[0],
         "accuracy_high": wilson(4, 5)[1]},
        {"value": "sea", "n": 4, "correct": 3, "accuracy": 0.75, "accuracy_low": low, "accuracy_high": high},
    ]  # fmt: skip
    groups = {
        (g["value"], g["class_id"]): (g["n"], g["correct"]) for g in found["attributes"]["place"]["groups"]
    }
    assert groups == {
        ("land", "a"): (1, 0),
        ("land", "b"): (4, 4),
        ("sea", "a"): (3, 3),
        ("sea", "b"): (1, 0),
    }
    assert found["attributes"]["place"]["worst"]["value"] == "sea"
    assert found["attributes"]["place"]["worst_group"]["accuracy"] == 0
    assert (found["worst_attribute_accuracy"], found["worst_group_accuracy"]) == (0.75, 0)


def test_nothing_is_said_where_nothing_is_known() -> None:
    table = made("ab", "ab", ["", ""])
    for one in (table, replace(table, attributes={})):
        assert "attributes" not in summarise(one, "test")


def test_the_file_keeps_them_and_older_files_have_none(tmp_path: Path) -> None:
    table = made("ab-", "ab-", ["sea", "", "7"])
    table = replace(table, look={"energy": np.array([0.1, np.nan, 0.3])})
    table.to_csv(tmp_path / "new.csv")
    back = PredictionTable.from_csv(tmp_path / "new.csv")
    assert back.attributes["place"].tolist() == ["sea", "", "7"]
    assert list(back.look) == ["energy"]
    replace(table, attributes={}).to_csv(tmp_path / "old.csv")
    old = PredictionTable.from_csv(tmp_path / "old.csv")
    assert old.attributes == {}
    assert back.subset(np.array([2, 1])).attributes["place"].tolist() == ["7", ""]


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(DataError, match="Column 'place' has shape"):
        replace(made("ab", "ab", ["", ""]), attributes={"place": np.array(["sea"])})


@pytest.fixture(scope="module")
def measured(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    layout = {"attributes": [r"third=regex:/00\d|01\d", r"odd=regex:[13579](?=\.png)"]}
    short = {"phases": [{"name": "all", "epochs": 1, "lr": 0.003}]}
    sampling = [{"kind": "class_sampling", "power": 0, "by": "third"}]
    settings = experiment(data={"layout": layout}, training=short, feedback=sampling)
    return run(settings, tree, tmp_path_factory.mktemp("run") / "attributes")


@pytest.mark.slow
def test_a_run_measures_them(measured: Run) -> None:
    folder = measured.folder
    catalog = Catalog.from_csv(folder / "catalog.csv", measured.catalog.root, measured.catalog.classes)
    assert catalog.attributes == ("third", "odd")
    table = PredictionTable.from_csv(folder / "predictions.csv")
    place = {sample.path: sample.attributes for sample in catalog.samples}
    assert table.attributes["odd"].tolist() == [place[path][1] for path in table.path.tolist()]
    result = json.loads((folder / "result.json").read_text())
    rows = table.of_split("test")
    accuracies = [rows.correct[rows.attributes[a] == v].mean() for a in rows.attributes for v in
                  set(rows.attributes[a].tolist()) - {""}]  # fmt: skip
    worst = result["metrics"]["test"]["worst_attribute_accuracy"]
    assert worst == pytest.approx(min(accuracies))
    name = "test.worst_attribute_accuracy"
    assert measure(measured, [METRICS[name]]) == {name: worst}


def test_the_report_shows_them(measured: Run) -> None:
    text = build_report(measured.folder).read_text()
    assert "By third" in text
    assert "By odd" in text
