"""Over- and underfitting in words, against the figures that decide it."""

import csv
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from foveate.evaluation.attributes import accuracy_of
from foveate.evaluation.predictions import PredictionTable
from foveate.reporting.fit import gap_interval, verdict
from foveate.reporting.report import build_report

from .conftest import Page


def new(correct: int, n: int) -> dict[str, float]:
    return accuracy_of(np.arange(n) < correct)


@pytest.mark.parametrize(("right", "n", "of"), [(99, 100, 80), (60, 60, 97), (5, 10, 50)])
def test_the_gap_is_newcombes(right: int, n: int, of: int) -> None:
    low, high = gap_interval(right / n, n, new(of, 105))
    expected = confint_proportions_2indep(
        right, n, of, 105, method="newcomb", compare="diff", correction=False
    )
    assert (low, high) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("learnt", "correct", "kind"),
    [
        (1.0, 70, "overfits"),
        (0.97, 95, "neither"),
        (0.6, 58, "underfits"),
        (0.9, 60, "both"),
        (1.0, 98, "neither"),
    ],
)
def test_verdicts(learnt: float, correct: int, kind: str) -> None:
    found, words, tries = verdict(learnt, 200, new(correct, 100), [])
    assert found == kind
    assert f"{100 * learnt - correct:.1f} points" in words
    assert tries
    assert ("--augment advanced" in " ".join(tries)) == (kind in ("overfits", "both"))


def test_a_picture_below_the_limit_is_no_underfitting() -> None:
    assert [verdict(right / 135, 135, new(90, 100), [])[0] for right in (128, 118)] == [
        "neither",
        "underfits",
    ]


def test_few_pictures_prove_no_overfitting() -> None:
    assert verdict(1.0, 20, new(9, 10), [])[0] == "neither"


def test_history_speaks_too() -> None:
    def history(*losses: float, accuracy: float = 0.5) -> list[dict[str, object]]:
        return [
            {"epoch": e, "phase": "all", "val_loss": loss, "val_accuracy": accuracy + e / 100}
            for e, loss in enumerate(losses, start=1)
        ]

    risen, falling = history(1.0, 0.5, 0.6, 0.7, 0.8, 0.9), history(1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
    _, words, tries = verdict(1.0, 200, new(70, 100), risen)
    assert "1.8 times its smallest: a sign of overfitting" in words
    assert "more epochs" not in " ".join(tries)
    _, words, tries = verdict(1.0, 200, new(70, 100), falling)
    assert "its smallest" not in words
    assert tries[0] == "more epochs: the best, 6, is among the last ones"
    kind, words, _ = verdict(1.0, 200, new(98, 100), risen)
    assert kind == "neither"
    assert "a sign of overfitting" not in words
    assert "towards the end confidence was overfitted, answers were not" in words


def test_where_all_is_right_nothing_is_wrong() -> None:
    history = [
        {"epoch": e, "phase": "all", "val_loss": loss, "val_accuracy": 0.94 + e / 100}
        for e, loss in enumerate([0.2, 0.1, 0.01, 0.0009, 0.008, 0.0105], start=1)
    ]
    kind, words, tries = verdict(1.0, 84, new(18, 18), history)
    assert kind == "neither"
    assert "overfit" not in words
    assert tries == ["harder pictures, or some taken elsewhere: 18 that are all right tell no more"]


def test_training_pictures_are_those_of_the_kept_epoch(run: Path) -> None:
    text = Page(build_report(run)).text
    with open(run / "history.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (
        f"{100 * float(rows[-1]['train_accuracy']):.1f}" in text[text.index("Does it over- or underfit?") :]
    )
    with open(run / "experiment.yaml", "a") as stream:
        stream.write("training: {phases: [{restore_best: val_accuracy}]}\n")
    text = Page(build_report(run)).text  # the third is the first of the best ones
    assert "The network has the weights of epoch 3, with a validation accuracy of 80.0 %" in text
    assert f"{100 * float(rows[2]['train_accuracy']):.1f}" in text[text.index("Does it over- or underfit?") :]


def test_a_guided_run_is_not_advised_to_be_guided(run: Path) -> None:
    table = PredictionTable.from_csv(run / "predictions.csv")
    split = np.where(table.correct, "train", "test").tolist()  # nothing but what it has learnt is right
    PredictionTable.from_logits(
        np.log(table.probabilities), table.label, table.path.tolist(), table.class_ids, splits=split
    ).to_csv(run / "predictions.csv")
    (run / "background_tests.csv").unlink()
    assert "--guide backgrounds" in Page(build_report(run)).text
    with open(run / "experiment.yaml", "a") as stream:
        stream.write("transforms: [{kind: background_swap, p: 1.0}]\n")
    text = Page(build_report(run)).text
    assert "--guide backgrounds" not in text
    assert "--freeze backbone" in text


def test_measured_training_pictures_come_first(run: Path) -> None:
    table = PredictionTable.from_csv(run / "predictions.csv")
    split = np.where(table.split == "val", "train", table.split)
    logits = np.log(table.probabilities)
    PredictionTable.from_logits(
        logits, table.label, table.path.tolist(), table.class_ids, splits=split.tolist()
    ).to_csv(run / "predictions.csv")
    (run / "background_tests.csv").unlink()
    text = Page(build_report(run)).text
    assert "training pictures as they are" in text
    assert (
        f"{100 * table.of_split('val').correct.mean():.1f}"
        in text[text.index("training pictures as they are") :]
    )
