"""Calibration against a slow loop, torch's own optimiser, and data whose temperature is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.core.errors import DataError
from foveate.evaluation.calibration import (
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    scale,
    temperature_of,
)
from foveate.evaluation.predictions import PredictionTable

from .conftest import make_table


def slow_ece(confidence: list[float], correct: list[bool], bins: int) -> float:
    total = 0.0
    for b in range(bins):
        low, high = np.linspace(0, 1, bins + 1)[[b, b + 1]]
        inside = [i for i, c in enumerate(confidence) if (low < c <= high) or (b == 0 and c == 0)]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            total += (
                len(inside)
                / len(confidence)
                * abs(accuracy - sum(confidence[i] for i in inside) / len(inside))
            )
    return total


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1) | st.sampled_from([i / 15 for i in range(16)]), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([1, 10, 15]),
)
def test_ece_is_the_slow_loop(pairs: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = [c for c, _ in pairs], [k for _, k in pairs]
    found = expected_calibration_error(np.array(confidence), np.array(correct), bins)
    assert found == pytest.approx(slow_ece(confidence, correct, bins), abs=1e-12)
    assert sum(part.n for part in reliability(np.array(confidence), np.array(correct), bins)) == len(pairs)


def test_nll_is_torch_cross_entropy() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 4)) * 5, rng.integers(0, 4, 50)
    theirs = torch.nn.functional.cross_entropy(torch.tensor(logits) / 1.7, torch.tensor(labels))
    assert negative_log_likelihood(logits, labels, 1.7) == pytest.approx(float(theirs))


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_temperature_is_recovered(truth: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20000, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (rng.random((20000, 1)) > p.cumsum(1)).sum(1).clip(max=2)
    assert fit_temperature(logits * truth, labels) == pytest.approx(truth, rel=0.05)


def test_temperature_is_the_minimum_of_a_fine_grid() -> None:
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(60, 5)) * 3, rng.integers(0, 5, 60)
    logits[np.arange(60), labels] += 2
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 4000))
    best = min(grid, key=lambda t: negative_log_likelihood(logits, labels, t))
    assert fit_temperature(logits, labels) == pytest.approx(best, rel=3e-3)


def test_scaling_keeps_the_answer_and_survives_zeros() -> None:
    p = np.array([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]])
    scaled = scale(p, 2.0)
    np.testing.assert_allclose(scaled.sum(1), 1)
    np.testing.assert_array_equal(scaled.argmax(1), p.argmax(1))
    np.testing.assert_allclose(scaled[1], np.sqrt(p[1]) / np.sqrt(p[1]).sum(), rtol=1e-9)


def test_only_the_validation_split_is_used() -> None:
    table = make_table(300, 4, sharpness=4.0)
    before = temperature_of(table)
    test = table.split == "test"
    logits = np.log(table.probabilities.astype(float) + 1e-30)
    logits[test] *= 30  # a test set gone mad must not matter
    other = PredictionTable.from_logits(logits, table.label, table.path, table.class_ids, splits=table.split)
    assert temperature_of(other) == pytest.approx(before, rel=1e-3)
    with pytest.raises(DataError, match="No labelled picture in split 'val'"):
        temperature_of(table.subset(test))
    with pytest.raises(DataError, match="needs labelled validation pictures"):
        fit_temperature(np.zeros((2, 2)), np.array([-1, -1]))
