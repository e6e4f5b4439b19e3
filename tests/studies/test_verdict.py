"""Sentences, case by case."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from foveate.studies.picture_comparison import PictureComparison
from foveate.studies.results import Metric
from foveate.studies.statistics import Comparison, Detectable, compare
from foveate.studies.verdict import amount_words, number_words, outcome, p_words, picture_verdict, verdict

ACCURACY = Metric("test.accuracy", "Test accuracy", "higher", percent=True)
ECE = Metric("test.ece", "Calibration error", "lower", percent=True)
EPOCHS = Metric("convergence_epoch", "Convergence", "lower")
LOSS = Metric("test.nll", "Log loss", "lower")
ENERGY = Metric("mean_size", "Size", "neither")


def comparison(**changes: Any) -> Comparison:
    given = Comparison(
        n=5, baseline=0.8, arm=0.842, difference=0.042, std=0.02, low=0.01, high=0.074, p=0.005, p_holm=0.02,
        cohen_d=2.1, hedges_g=1.7, detectable=Detectable(0.031), family=4,
    )  # fmt: skip
    return replace(given, **changes)


EPOCHS_SAVED: dict[str, Any] = {
    "baseline": 21.0, "difference": -5.04, "low": -8.8, "high": -1.2, "detectable": Detectable(4.2)
}  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "changes", "result", "words"),
    [
        (ACCURACY, {}, "better", "better: higher by 4.2 points (interval 1.0 to 7.4, p = 0.02 after Holm)"),
        (ACCURACY, {"family": 1}, "better", "better: higher by 4.2 points (interval 1.0 to 7.4, p = 0.02)"),
        (
            ACCURACY,
            {"difference": -0.042, "low": -0.074, "high": -0.01},
            "worse",
            "worse: lower by 4.2 points (interval −7.4 to −1.0, p = 0.02 after Holm)",
        ),
        (ACCURACY, {"p_holm": 0.4}, "none", "no detectable difference (this design would see 3.1 points)"),
        (
            ACCURACY,
            {"p_holm": 0.4, "detectable": Detectable(0.031, pictures=0.06, both=0.07)},
            "none",
            "no detectable difference (this design would see 7.0 points)",
        ),
        (
            ACCURACY,
            {"p_holm": 0.4, "detectable": Detectable(None, note="nobody knows")},
            "none",
            "no detectable difference (nobody knows)",
        ),
        (ACCURACY, {"n": 2}, "unknown", "too few seeds to tell (2 pairs)"),
        (ACCURACY, {"n": 1, "p_holm": None}, "unknown", "too few seeds to tell (1 pair)"),
        (
            ACCURACY,
            {"note": "4 of 5 seeds"},
            "better",
            "better: higher by 4.2 points (interval 1.0 to 7.4, p = 0.02 after Holm); 4 of 5 seeds",
        ),
        (ECE, {}, "worse", "worse: higher by 4.2 points (interval 1.0 to 7.4, p = 0.02 after Holm)"),
        (
            EPOCHS,
            EPOCHS_SAVED,
            "better",
            "faster by 24 % (5.0 epochs, interval −8.8 to −1.2, p = 0.02 after Holm)",
        ),
        (
            EPOCHS,
            {**EPOCHS_SAVED, "difference": 5.04, "low": 1.2, "high": 8.8},
            "worse",
            "slower by 24 % (5.0 epochs, interval 1.2 to 8.8, p = 0.02 after Holm)",
        ),
        (
            EPOCHS,
            {**EPOCHS_SAVED, "p_holm": 0.051},
            "none",
            "no detectable difference (this design would see 4.2 epochs or 20 %)",
        ),
        (
            LOSS,
            {"difference": -0.04, "low": -0.07, "high": -0.01},
            "better",
            "better: lower by 0.04 or 5 % (interval −0.07 to −0.01, p = 0.02 after Holm)",
        ),
        (
            ENERGY,
            {"baseline": -1.0},
            "different",
            "higher by 0.042 (interval 0.01 to 0.074, p = 0.02 after Holm)",
        ),
    ],
)
def test_sentences(metric: Metric, changes: dict[str, Any], result: str, words: str) -> None:
    given = comparison(**changes)
    assert outcome(given, metric) == result
    assert verdict(given, metric) == words


def test_sentences_of_real_degenerate_comparisons() -> None:
    base = np.full(5, 0.7)
    assert verdict(compare(base, base), ACCURACY) == (
        "no detectable difference; the arms are equal in each of 5 seeds"
    )
    same = compare(base, base + 0.01, family=2)
    assert outcome(same, ACCURACY) == "unknown"
    assert verdict(same, ACCURACY) == (
        "too few seeds to tell (no spread to test; by sign alone p = 0.062 after Holm); "
        "the difference is the same in each of 5 seeds"
    )
    seven = np.linspace(0.7, 0.8, 7)
    assert verdict(compare(seven, seven + 0.01), ACCURACY) == (
        "better: higher by 1.0 points (p = 0.016); the difference is the same in each of 7 seeds"
    )
    assert verdict(compare([], []), ACCURACY) == "too few seeds to tell (0 pairs)"


def pictures(**changes: Any) -> PictureComparison:
    given = PictureComparison(
        difference=0.042, low=0.01, high=0.074, p=0.01, p_holm=0.03, seeds=5,
        pictures=73, shared=True, resolution=1 / 73, standard_error=0.04,
        detectable=Detectable(0.02, 0.03, 0.05),
    )  # fmt: skip
    return replace(given, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "on other pictures too: higher by 4.2 points (interval 1.0 to 7.4, p = 0.03; "),
        ({"difference": -0.042}, "on other pictures too: lower by 4.2 points"),
        (
            {"p_holm": 0.06},
            "no difference that other pictures must show (interval 1.0 to 7.4, not corrected for several arms; with "
            "the correction p = 0.06, this design would see 5.0 points; ",
        ),
        ({"seeds": 2}, "too few seeds to tell ("),
        (
            {"low": None, "high": None, "difference": 0.0, "p_holm": 1.0},
            "no picture was answered differently (",
        ),
    ],
)
def test_picture_sentences(changes: dict[str, Any], words: str) -> None:
    text = picture_verdict(pictures(**changes), ACCURACY)
    assert text.startswith(words)
    assert text.endswith("73 test pictures, one is 1.4 points)")
    text = picture_verdict(pictures(**changes, shared=False, resolution=1 / 36), ACCURACY)
    assert text.endswith("36 test pictures a seed, one is 2.8 points; 73 different ones)")


def test_p_is_never_rounded_to_the_other_side() -> None:
    assert p_words(0.0499) == "p = 0.05"
    assert p_words(0.0501) == "p = 0.0501"
    assert p_words(0.0504) == "p = 0.0504"
    assert p_words(0.5) == "p = 0.5"
    assert p_words(0.0009) == "p < 0.001"
    assert p_words(1.0) == "p = 1"


def test_numbers() -> None:
    assert number_words(0.0004, ACCURACY) == "0.04"
    assert number_words(0.0, ACCURACY) == "0.0"
    assert number_words(-12.345, EPOCHS) == "−12.3"
    assert amount_words(-0.5, EPOCHS) == "0.5 epochs"
    assert amount_words(0.01234, LOSS) == "0.0123"
