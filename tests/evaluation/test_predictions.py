"""The prediction table: derived columns, and a file that loses nothing."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foveate.core.errors import DataError
from foveate.data.catalog import Catalog, Sample
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.summary import summarise

# Carriage returns: the csv module of Python 3.11 and 3.12 does not quote them.
NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00\r"), max_size=12)


def assert_equal(a: PredictionTable, b: PredictionTable) -> None:
    assert a.class_ids == b.class_ids
    for name in ("path", "split", "group", "label", "probabilities", "loss", "prediction", "correct"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert list(a.look) == list(b.look)
    for name, values in a.look.items():
        np.testing.assert_array_equal(values, b.look[name])


def test_round_trip_is_exact(table: PredictionTable, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "predictions.csv")
    back = PredictionTable.from_csv(tmp_path / "predictions.csv")
    assert_equal(table, back)
    assert summarise(table, "test") == summarise(back, "test")


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(), n=st.integers(0, 6), ids=st.lists(NAMES.filter(bool), min_size=1, max_size=4, unique=True)
)
def test_round_trip_of_anything(
    data: st.DataObject, n: int, ids: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    c = len(ids)
    logits = data.draw(arrays(np.float64, (n, c), elements=st.floats(-300, 300)))
    labels = data.draw(arrays(np.int64, n, elements=st.integers(-1, c - 1)))
    texts = [data.draw(st.lists(NAMES, min_size=n, max_size=n)) for _ in range(3)]
    look = {"tap": data.draw(arrays(np.float32, n, elements=st.floats(0, 1, width=32) | st.just(np.nan)))}
    table = PredictionTable.from_logits(
        logits, labels, texts[0], ids, splits=texts[1], groups=texts[2], look=look
    )
    path = tmp_path_factory.mktemp("table") / "predictions.csv"
    table.to_csv(path)
    assert_equal(table, PredictionTable.from_csv(path))


def test_derived_columns_follow_their_formulas(table: PredictionTable) -> None:
    for i in range(len(table)):
        p = [float(v) for v in table.probabilities[i]]
        assert table.prediction[i] == p.index(max(p))
        assert table.confidence[i] == pytest.approx(max(p))
        assert table.entropy[i] == pytest.approx(-sum(v * np.log(v) for v in p if v > 0), abs=1e-6)
        if table.label[i] >= 0:
            assert table.loss[i] == pytest.approx(-np.log(p[table.label[i]]), rel=1e-4)
        else:
            assert np.isnan(table.loss[i])
            assert not table.correct[i]


def test_loss_stays_finite_where_the_probability_underflows() -> None:
    table = PredictionTable.from_logits(np.array([[0.0, 2000.0]]), np.array([0]), ["a"], ["x", "y"])
    assert table.probabilities[0, 0] == 0
    assert table.loss[0] == 2000
    assert table.entropy[0] == 0


def test_file_carries_original_ids_and_empty_cells(tmp_path: Path) -> None:
    catalog = Catalog(
        Path("data"),
        ("Chestnut", "Oak"),
        (Sample("a.jpg", 1, "test", group="g"), Sample("b.jpg", -1, "test")),
        ("4780", "12"),
    )
    table = PredictionTable.from_catalog(np.array([[0.0, 1.0], [3.0, 0.0]]), catalog, np.array([0, 1]))
    table.to_csv(tmp_path / "p.csv")
    with open(tmp_path / "p.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["label"] for row in rows] == ["12", ""]
    assert [row["prediction"] for row in rows] == ["12", "4780"]
    assert [row["correct"] for row in rows] == ["1", ""]
    assert rows[1]["loss"] == ""
    assert [row["group"] for row in rows] == ["g", ""]
    assert set(rows[0]) >= {"prob_4780", "prob_12", "confidence", "entropy"}


def test_rows_of_a_split(table: PredictionTable) -> None:
    test = table.of_split("test")
    assert set(test.split) == {"test"}
    assert (test.label >= 0).all()
    assert table.splits == ("val", "test") or table.splits == ("test", "val")
    assert len(test) + len(table.of_split("val")) == int(table.labelled.sum())
    with pytest.raises(DataError, match="No labelled picture in split 'train'"):
        table.of_split("train")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("prediction", None, "contradicts"),
        ("correct", None, "contradicts"),
        ("confidence", "0.01", "contradicts"),
        ("loss", "", "contradicts"),
        ("loss", "much", "line 2: loss 'much' is not a number"),
        ("label", "horse", "line 2: 'horse' is not one of the classes"),
    ],
)
def test_changed_files_are_refused(tmp_path: Path, column: str, value: str | None, message: str) -> None:
    table = PredictionTable.from_logits(
        np.array([[3.0, 0.0]]), np.array([0]), ["a"], ["x", "y"], splits=["test"]
    )
    path = tmp_path / "p.csv"
    table.to_csv(path)
    with open(path, newline="") as stream:
        header, row = list(csv.reader(stream))
    cells = dict(zip(header, row, strict=True))
    cells[column] = {"prediction": "y", "correct": "0"}[column] if value is None else value
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows([header, list(cells.values())])
    with pytest.raises(DataError, match=message):
        PredictionTable.from_csv(path)


def test_missing_file_columns_and_cells(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        PredictionTable.from_csv(tmp_path / "no.csv")
    (tmp_path / "a.csv").write_text("path,split\n")
    with pytest.raises(DataError, match="lacks the columns"):
        PredictionTable.from_csv(tmp_path / "a.csv")
    table = PredictionTable.from_logits(np.zeros((1, 2)), np.array([0]), ["a"], ["x", "y"])
    table.to_csv(tmp_path / "b.csv")
    (tmp_path / "b.csv").write_text((tmp_path / "b.csv").read_text() + "short,row\n")
    with pytest.raises(DataError, match="line 3: 2 cells"):
        PredictionTable.from_csv(tmp_path / "b.csv")


def test_broken_values_are_refused() -> None:
    with pytest.raises(DataError, match=r"output for b\.jpg is not finite"):
        PredictionTable.from_logits(
            np.array([[0.0, 1.0], [np.nan, 0.0]]), np.array([0, 0]), ["a.jpg", "b.jpg"], ["x", "y"]
        )
    with pytest.raises(DataError, match="shape"):
        PredictionTable.from_logits(np.zeros((2, 3)), np.array([0, 0]), ["a", "b"], ["x", "y"])
