"""Means, intervals and best thresholds of a table, and its files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from foveate.evaluation.look_table import LookTable, settle
from foveate.explanation.maps import MapScore


def test_cells_leave_out_what_cannot_be_measured() -> None:
    rng = np.random.default_rng(0)
    holes = np.where(rng.random(400) < 0.5, np.nan, rng.normal(3, 2, size=400))
    shares = np.where(rng.random(400) < 0.97, 1.0, 0.0)
    table = LookTable(
        paths=tuple(f"{k}.png" for k in range(400)), target="true",
        scores=(MapScore("free", "Free", span=None), MapScore("share", "Share"), MapScore("none", "None")),
        values={"m": {"free": holes, "share": shares, "none": np.full(400, np.nan)}}, methods=("m",), seconds={},
    )  # fmt: skip
    found = table.cells()["m"]
    known = holes[np.isfinite(holes)]
    half = 1.966 * known.std(ddof=1) / np.sqrt(len(known))
    assert found["free"].n == len(known)
    assert found["free"].mean == pytest.approx(known.mean())
    assert (found["free"].low, found["free"].high) == pytest.approx(
        (known.mean() - half, known.mean() + half), 1e-3
    )
    wilson = binomtest(int(shares.sum()), 400).proportion_ci(method="wilson")
    assert (found["share"].low, found["share"].high) == pytest.approx((wilson.low, wilson.high), abs=1e-3)
    assert "none" not in found


def test_the_best_threshold_is_that_of_all_pictures_together() -> None:
    values = np.array([[0.1, 0.9, 0.3, 0.0], [0.5, 0.0, 0.8, 0.0], [np.nan] * 4])
    column, threshold = settle(values)
    assert threshold == 0.5
    np.testing.assert_array_equal(column[:2], [0.3, 0.8])
    assert np.isnan(column[2])
    assert settle(values[2:])[1] is None


def test_files(tmp_path: Path) -> None:
    table = LookTable(
        paths=("a, b.png", "c.png"), target="true",
        scores=(MapScore("one", "One"), MapScore("two", "Two", "lower", span=None)),
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


def test_every_method_that_was_asked_for_has_a_row_and_a_reason(tmp_path: Path) -> None:
    nothing = {"one": np.full(2, np.nan)}
    table = LookTable(
        paths=("a.png", "b.png"), target="true", scores=(MapScore("one", "One"),),
        values={"flat": nothing, "good": {"one": np.array([0.2, 0.4])}, "random map": {"one": np.array([0.1, 0.1])}},
        methods=("flat", "good"), seconds={"flat": 0.1, "good": 0.1},
        skipped={"unfit": "It needs a map.", "the attack": "x"},
        settings={"methods": ["unfit", "flat", "good"]},
    )  # fmt: skip
    assert {row: len(cells) for row, cells in table.cells().items()} == {
        "unfit": 0, "flat": 0, "good": 1, "random map": 1,
    }  # fmt: skip
    assert table.reasons() == {
        "unfit": "It needs a map",
        "flat": "its map of each of the 2 pictures is constant",
    }
    table.save(tmp_path)
    rows = list(csv.DictReader((tmp_path / "look.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["row"]: (row["n"], row["reason"]) for row in rows} == {
        "unfit": ("0", "It needs a map"),
        "flat": ("0", "its map of each of the 2 pictures is constant"),
        "good": ("2", ""),
        "random map": ("2", ""),
    }
    written = json.loads((tmp_path / "look.json").read_text(encoding="utf-8"))["rows"]
    assert {row: entry["kind"] for row, entry in written.items()} == {
        "unfit": "method", "flat": "method", "good": "method", "random map": "control",
    }  # fmt: skip
    assert written["unfit"]["reason"] == "It needs a map"
    assert "reason" not in written["good"]


def test_empty_masks_are_the_reason_where_nothing_could_be_located() -> None:
    nothing = {"energy": np.full(1, np.nan)}
    table = LookTable(
        paths=("a.png",), target="true", scores=(MapScore("energy", "Energy"),),
        values={"m": nothing, "random map": nothing, "chance": nothing}, methods=("m",), seconds={"m": 0.1},
        settings={"methods": ["m"]},
    )  # fmt: skip
    assert table.reasons() == {"m": "no mask of these pictures has anything in it"}
