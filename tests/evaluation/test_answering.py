"""When a network should answer: both promises simulated, and the sets beside crepes'."""

import numpy as np
import pytest
from crepes import ConformalClassifier
from crepes.extras import hinge
from scipy.special import softmax

from foveate.core.errors import ConfigError, DataError
from foveate.evaluation.answer_rule import AnswerRule
from foveate.evaluation.answering import answer_rule, answering, in_words
from foveate.evaluation.calibration import scale
from foveate.evaluation.predictions import PredictionTable

from .conftest import make_table


def drawn(rng: np.random.Generator, n: int, classes: int, split: str, lean: float) -> PredictionTable:
    """Labels drawn from the probabilities of logits that a network then gives twice too large."""
    logits = rng.normal(size=(n, classes)) * lean
    labels = np.array([rng.choice(classes, p=p) for p in softmax(logits, axis=1)])
    names = [f"{split}{i}" for i in range(n)]
    return PredictionTable.from_logits(
        2 * logits, labels, names, [str(c) for c in range(classes)], splits=[split] * n
    )


@pytest.mark.parametrize(("n", "lean"), [(60, 3.0), (150, 6.0), (400, 1.5)])
def test_both_promises_hold_on_average(n: int, lean: float) -> None:
    """Expected shares under the known probabilities; the temperature comes from the same validation pictures."""
    rng = np.random.default_rng(n)
    logits = rng.normal(size=(4000, 4)) * lean
    truth, given = softmax(logits, axis=1), softmax(2 * logits, axis=1)
    right, covered = [], []
    for _ in range(200):
        judged = answer_rule(drawn(rng, n, 4, "val", lean), 0.9).judge(given)
        right.append(truth.max(axis=1)[judged.answered].mean() if judged.answered.any() else 1.0)
        covered.append((truth * judged.possible).sum(axis=1).mean())
    margin = 3 / np.sqrt(200)
    assert np.mean(right) >= 0.9 - margin * np.std(right)
    assert np.mean(covered) >= 0.9 - margin * np.std(covered)
    # Coverage of a split conformal set is Beta distributed: the level and at most one picture more, on average.
    assert np.mean(covered) <= 0.9 + 1 / (n + 1) + margin * np.std(covered)


def test_labels_at_chance_get_no_answer() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(300, 4)) * 3, rng.integers(0, 4, 300)
    table = PredictionTable.from_logits(
        logits, labels, [str(i) for i in range(300)], list("abcd"), splits=["val"] * 150 + ["test"] * 150
    )
    found = answering(table.of_split("test"), answer_rule(table))
    assert found["answered"] == 0
    assert found["accuracy"] is None
    assert "by its mistakes on 150 validation pictures no threshold can promise 95 %" in " ".join(
        in_words(found)
    )


def test_sets_are_those_of_crepes() -> None:
    table = make_table(300, unlabelled=0)
    rule = answer_rule(table, 0.9)
    validation, test = table.of_split("val"), table.of_split("test")
    of = {
        part: scale(rows.probabilities, rule.temperature)
        for part, rows in (("val", validation), ("test", test))
    }
    classes = np.arange(5)
    theirs = ConformalClassifier().fit(hinge(of["val"], classes, validation.label), seed=0)
    expected = theirs.predict_set(hinge(of["test"]), confidence=0.9, smoothing=False).astype(bool)
    expected[np.arange(len(test)), test.prediction] = True  # never empty
    np.testing.assert_array_equal(rule.judge(test.probabilities).possible, expected)
    assert 0 < expected.sum(axis=1).mean() < 5


def test_the_threshold_is_that_of_a_slow_search() -> None:
    table = make_table(400, seed=3, unlabelled=0)
    rule, validation = answer_rule(table, 0.6), table.of_split("val")
    confidence = scale(validation.probabilities, rule.temperature).max(axis=1)
    kept = []
    for least in np.unique(confidence):
        answered = confidence >= least
        if ((~validation.correct[answered]).sum() + 1) / (answered.sum() + 1) <= 0.4:
            kept.append(least)
    assert min(kept) == pytest.approx(rule.least_confidence)
    assert 0 < rule.least_confidence < 1


def test_only_validation_pictures_count() -> None:
    table = make_table(400)
    test = table.split == "test"
    other = PredictionTable(
        table.class_ids, table.path, table.split, table.group, np.where(test, 0, table.label), table.probabilities,
        np.where(test, 1.0, table.loss),
    )  # fmt: skip
    assert answer_rule(other) == answer_rule(table)
    with pytest.raises(DataError, match="No labelled picture in split 'val'"):
        answer_rule(table.subset(test))
    with pytest.raises(ConfigError, match="level is 95"):
        answer_rule(table, 95)


def test_few_validation_pictures_promise_nothing() -> None:
    rng = np.random.default_rng(1)
    rule = answer_rule(drawn(rng, 10, 3, "val", 30.0))
    assert rule.least_confidence > 1
    assert rule.least_probability == 0
    judged = rule.judge(np.array([[0.9, 0.1, 0.0]]))
    assert judged.possible.all()
    assert not judged.answered.any()
    assert rule.in_words(4, 4) == (
        "All 4 are marked not sure: with 10 validation pictures no threshold can promise 95 %, which takes 19 or more. "
        "Go by the column `confidence`."
    )


def test_nineteen_validation_pictures_promise_95_percent() -> None:
    """By the rule's own inequality, all answers right: 1 of n + 1 within 5 %."""
    logits = np.tile([8.0, 0.0], (19, 1))
    table = PredictionTable.from_logits(
        logits, np.zeros(19, int), [f"{k}" for k in range(19)], ["0", "1"], splits=["val"] * 19
    )
    assert answer_rule(table).promises_nothing == ""
    fewer = answer_rule(table.subset(np.arange(19) < 18))
    assert fewer.promises_nothing.endswith("which takes 19 or more")
    assert answer_rule(table).in_words(2, 4) == "2 of them not sure: 95 % of the others should be right."


def test_a_good_network_answers_everything() -> None:
    rng = np.random.default_rng(2)
    validation = drawn(rng, 200, 3, "val", 60.0)
    assert validation.correct.mean() > 0.96
    rule = answer_rule(validation)
    assert rule.least_confidence == 0
    assert rule.judge(np.full((1, 3), 1 / 3)).answered.all()


def test_a_table_keeps_possible_classes_in_the_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    table = make_table(6, unlabelled=6)
    rule = AnswerRule(0.9, 50, 1.0, 0.5, 0.2)
    shown = PredictionTable(
        table.class_ids, table.path, table.split, table.group, table.label, table.probabilities, table.loss,
        possible=rule.judge(table.probabilities).possible,
    )  # fmt: skip
    shown.subset(np.array([3, 1])).to_csv(tmp_path / "p.csv")
    last = (tmp_path / "p.csv").read_text().splitlines()[1].split(",")[-1].split(" | ")
    expected = np.flatnonzero((table.probabilities[3] >= 0.2) | (np.arange(5) == table.prediction[3]))
    assert last == [table.class_ids[c] for c in expected]
    assert PredictionTable.from_csv(tmp_path / "p.csv").path.tolist() == table.path[[3, 1]].tolist()


def test_words_know_no_minus_zero_and_no_empty_promise() -> None:
    """All right and as sure as can be, in too few validation pictures."""
    logits, labels = np.tile([200.0, 0.0], (20, 1)), np.zeros(20, int)
    paths, splits = [str(k) for k in range(20)], ["val"] * 10 + ["test"] * 10
    table = PredictionTable.from_logits(logits, labels, paths, ["0", "1"], splits=splits)
    said = " ".join(in_words(answering(table.of_split("test"), answer_rule(table))))
    assert "log loss 0.000" in said
    assert "with 10 validation pictures no threshold can promise 95 %" in said
    assert "Every set of possible classes holds all classes, so the sets say nothing." in said
