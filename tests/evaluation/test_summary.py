"""Metrics against scikit-learn and against loops that a reader can check by eye."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy.stats import binomtest

from foveate.core.errors import DataError
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.summary import confused_pairs, convergence_epoch, summarise, summarise_all

from .conftest import make_table


@pytest.mark.parametrize(
    ("n", "classes", "seed"), [(200, 5, 0), (40, 12, 1), (30, 2, 2), (9, 3, 3), (2, 2, 4)]
)
def test_against_scikit_learn(n: int, classes: int, seed: int) -> None:
    table = make_table(n, classes, seed, unlabelled=0)
    rows = table.of_split("test")
    y, p = rows.label, rows.prediction
    found = summarise(table, "test")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about classes that do not occur
        assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, p))
        assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, p))
        assert found["macro_f1"] == pytest.approx(sk.f1_score(y, p, average="macro"))
        assert found["nll"] == pytest.approx(
            sk.log_loss(y, rows.probabilities.astype(float), labels=range(classes)), rel=1e-4
        )
        report = sk.classification_report(y, p, labels=range(classes), output_dict=True, zero_division=0)
        for i, entry in enumerate(found["per_class"]):
            theirs = report[str(i)]
            assert (entry["precision"] or 0) == pytest.approx(theirs["precision"])
            assert (entry["recall"] or 0) == pytest.approx(theirs["recall"])
            assert (entry["f1"] or 0) == pytest.approx(theirs["f1-score"])
            assert entry["support"] == theirs["support"]
    assert found["confusion"] == sk.confusion_matrix(y, p, labels=range(classes)).tolist()
    assert set(found["top"]) == {k for k in ("3", "5") if int(k) < classes}


def test_top_k_brier_and_chance_by_hand(table: PredictionTable) -> None:
    rows, found = table.of_split("test"), summarise(table, "test")
    inside, brier = 0, 0.0
    for p, y in zip(rows.probabilities.tolist(), rows.label.tolist(), strict=True):
        inside += y in sorted(range(len(p)), key=lambda c: -p[c])[:3]
        brier += sum((p[c] - (c == y)) ** 2 for c in range(len(p)))
    assert found["top"]["3"] == pytest.approx(inside / len(rows))
    assert found["brier"] == pytest.approx(brier / len(rows), rel=1e-5)
    assert found["chance_uniform"] == 1 / 5
    labels = rows.label.tolist()
    assert found["chance_majority"] == pytest.approx(max(labels.count(c) for c in range(5)) / len(labels))


def test_groups_widen_the_intervals(table: PredictionTable) -> None:
    found = summarise(table, "test")
    alone = summarise(replace(table, group=np.full(len(table.group), "")), "test")
    plain = binomtest(alone["correct"], alone["n"]).proportion_ci(method="wilson")
    assert (alone["accuracy_low"], alone["accuracy_high"]) == pytest.approx((plain.low, plain.high))
    assert found["accuracy_low"] < alone["accuracy_low"] < found["accuracy"] < alone["accuracy_high"]
    for wide, narrow in zip(found["per_class"], alone["per_class"], strict=True):
        plain = binomtest(narrow["correct"], narrow["support"]).proportion_ci(method="wilson")
        assert (narrow["recall_low"], narrow["recall_high"]) == pytest.approx((plain.low, plain.high))
        assert wide["recall_low"] <= wide["recall"] <= wide["recall_high"]


def test_one_group_says_nothing(table: PredictionTable) -> None:
    found = summarise(replace(table, group=np.full(len(table.group), "one plant")), "test")
    assert (found["accuracy_low"], found["accuracy_high"]) == (0, 1)


def test_summary_is_json_and_covers_the_splits(table: PredictionTable) -> None:
    found = summarise_all(table)
    assert set(found) == {"val", "test"}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    with pytest.raises(DataError, match="No labelled picture in split 'train'"):
        summarise(table, "train")


def test_groups_and_look_by_hand(table: PredictionTable) -> None:
    rows, found = table.of_split("test"), summarise(table, "test")
    slow: dict[str, list[bool]] = {}
    for group, hit in zip(rows.group.tolist(), rows.correct.tolist(), strict=True):
        slow.setdefault(group, []).append(hit)
    assert {g["group"]: (g["n"], g["correct"]) for g in found["groups"]["per_group"]} == {
        g: (len(h), sum(h)) for g, h in slow.items()
    }
    assert found["groups"]["mean_accuracy"] == pytest.approx(np.mean([np.mean(h) for h in slow.values()]))
    values = [v for v in rows.look["energy_in_mask"].tolist() if v == v]
    assert found["look"]["energy_in_mask"]["n"] == len(values)
    assert found["look"]["energy_in_mask"]["mean"] == pytest.approx(sum(values) / len(values))


def test_empty_class_maps_are_counted_among_the_masked_pictures() -> None:
    nan = np.nan
    look = {
        "energy_in_mask": [0.5, nan, nan, nan],
        "energy_chance": [0.2, 0.3, 0.1, nan],
    }  # the last has no mask
    table = PredictionTable.from_logits(
        np.eye(4, 2), np.array([0, 1, 0, 1]), list("wxyz"), ["a", "b"], splits=["test"] * 4,
        look={name: np.array(values, dtype=np.float32) for name, values in look.items()},
    )  # fmt: skip
    found = summarise(table, "test")["look"]
    assert found["energy_in_mask"]["empty"] == pytest.approx(2 / 3)
    assert "empty" not in found["energy_chance"]


def test_no_groups_no_look() -> None:
    table = PredictionTable.from_logits(
        np.zeros((2, 2)), np.array([0, 1]), ["a", "b"], ["x", "y"], splits=["test"] * 2
    )
    found = summarise(table, "test")
    assert found["groups"] is None
    assert found["look"] is None
    assert found["per_class"][1]["precision"] is None  # never predicted: undefined, not zero
    assert found["per_class"][1]["recall"] == 0


def test_confused_pairs_are_unordered_and_sorted() -> None:
    confusion = np.array([[5, 2, 0], [1, 4, 0], [4, 0, 3]])
    pairs = confused_pairs(confusion, ["a", "b", "c"])
    assert [(p["a"], p["b"], p["a_as_b"], p["b_as_a"], p["n"]) for p in pairs] == [
        ("a", "c", 0, 4, 4),
        ("a", "b", 2, 1, 3),
    ]
    assert pairs[1]["share"] == pytest.approx(3 / 12)


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        ([0.1, 0.5, 0.4, 0.5], "max", 2),
        ([0.9, 0.2, 0.2, 0.3], "min", 2),
        (["", float("nan"), 0.1, None], "max", 3),
        (["", None], "max", None),
        ([], "max", None),
        (["0.25", "0.75"], "max", 2),
    ],
)
def test_convergence_epoch(values: list[object], mode: str, expected: int | None) -> None:
    history = [{"epoch": i, "val_accuracy": value} for i, value in enumerate(values, start=1)]
    assert convergence_epoch(history, "val_accuracy", mode) == expected  # type: ignore[arg-type]
