"""Means, intervals and best thresholds of a table, and its files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from foveate.evaluation.look_table import LookTable, bootstrap, settle
from foveate.explanation.score import Score


def test_bootstrap_against_theory() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, size=400)
    holes = np.where(rng.random(400) < 0.5, np.nan, values)
    (mean, low, high, n), of_holes, nothing = bootstrap([values, holes, np.full(400, np.nan)])
    error = values.std(ddof=1) / 20
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.05)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.05)
    assert n == 400
    known = holes[np.isfinite(holes)]
    assert of_holes[0] == pytest.approx(known.mean())
    assert of_holes[3] == len(known)
    assert of_holes[2] - of_holes[1] > high - low
    assert nothing[1:] == (None, None, 0)


def test_the_best_threshold_is_that_of_all_pictures_together() -> None:
    values = np.array([[0.1, 0.9, 0.3, 0.0], [0.5, 0.0, 0.8, 0.0], [np.nan] * 4])
    column, threshold = settle(values)
    assert threshold == 0.5
    np.testing.assert_array_equal(column[:2], [0.3, 0.8])
    assert np.isnan(column[2])
    assert settle(values[2:])[1] is None


def test_files(tmp_path: Path) -> None:
    table = LookTable(
        paths=("a, b.png", "c.png"), target="true", scores=(Score("one", "One"), Score("two", "Two", "lower")),
        values={
            "m": {"one": np.array([0.25, np.nan]), "two": np.array([1.0, 2.0])},
            "chance": {"one": np.array([0.5, 0.5])},
        },
        methods=("m",), seconds={"m": 0.125}, thresholds={"m": {"one": 0.3}}, skipped={"x": "why"},
    )  # fmt: skip
    table.save(tmp_path)
    rows = list(csv.DictReader((tmp_path / "look.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["row"], row["score"], row["n"]) for row in rows] == [
        ("m", "one", "1"),
        ("m", "two", "2"),
        ("chance", "one", "2"),
    ]
    assert rows[0]["low"] == ""
    assert rows[0]["threshold"] == "0.3"
    pictures = list(csv.DictReader((tmp_path / "look_pictures.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["path"], row["row"], row["one"], row["two"]) for row in pictures] == [
        ("a, b.png", "m", "0.25", "1"),
        ("c.png", "m", "", "2"),
        ("a, b.png", "chance", "0.5", ""),
        ("c.png", "chance", "0.5", ""),
    ]
    found = json.loads((tmp_path / "look.json").read_text(encoding="utf-8"))
    assert found["rows"]["m"]["scores"]["two"]["mean"] == 1.5
    assert found["rows"]["m"]["seconds_per_picture"] == 0.125
    assert found["rows"]["chance"]["kind"] == "chance"
    assert found["skipped"] == {"x": "why"}
    assert table.controls == ("chance",)
