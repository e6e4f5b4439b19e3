"""Probes against a slow version that fits one fold at a time by hand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from foveate.studies.feature_probes import NEIGHBOURS, STRENGTHS, linear_probe, nearest_neighbours


def blobs(n: int = 90, classes: int = 3, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    centres = rng.normal(size=(classes, 6)) * 3
    return centres[labels] + spread * rng.normal(size=(n, 6)), labels, rng.integers(0, 4, n)


def test_nearest_neighbours_are_counted_by_hand() -> None:
    features, labels, folds = blobs(spread=3.0)
    folds[:3] = -1
    found = nearest_neighbours(features, labels, folds, k=5)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for i in range(len(labels)):
        if folds[i] < 0:
            assert found[i] == -1
            continue
        others = np.flatnonzero(folds != folds[i])
        near = others[np.argsort(1 - unit[others] @ unit[i], kind="stable")[:5]]
        votes = np.bincount(labels[near], minlength=3)
        assert votes[found[i]] == votes.max()
    assert NEIGHBOURS > 1


def test_the_probe_of_a_fold_saw_nothing_of_it() -> None:
    """Fitted again by hand: standardised on the other folds, the penalty chosen on the next fold alone."""
    features, labels, folds = blobs(spread=2.5)
    found = linear_probe(features, labels, folds)
    for fold in range(4):
        test, inner = folds == fold, folds == (fold + 1) % 4

        def fit(c: float, train: np.ndarray, asked: np.ndarray) -> np.ndarray:
            mean, std = features[train].mean(0), features[train].std(0)
            model = LogisticRegression(C=c, max_iter=500).fit((features[train] - mean) / std, labels[train])
            return model.predict((features[asked] - mean) / std)

        scores = [(fit(c, ~test & ~inner, inner) == labels[inner]).mean() for c in STRENGTHS]
        best = STRENGTHS[int(np.argmax(scores))]
        np.testing.assert_array_equal(found[test], fit(best, ~test, test))


def test_a_leak_would_be_seen() -> None:
    """Copies of a picture in another fold make noise look like knowledge; kept in one fold they do not."""
    rng = np.random.default_rng(1)
    noise = np.repeat(rng.normal(size=(40, 30)), 2, axis=0)
    labels = np.repeat(rng.integers(0, 2, 40), 2)
    together = np.repeat(np.arange(40) % 4, 2)
    apart = np.arange(80) % 4
    assert (nearest_neighbours(noise, labels, apart, k=1) == labels).all()
    assert (nearest_neighbours(noise, labels, together, k=1) == labels).mean() < 0.75


@pytest.mark.parametrize("probe", [linear_probe, nearest_neighbours])
def test_separable_classes_are_found_and_chance_is_chance(probe) -> None:
    features, labels, folds = blobs(spread=0.1)
    assert (probe(features, labels, folds) == labels).all()
    random = np.random.default_rng(2).normal(size=(90, 6))
    assert 0.15 < (probe(random, labels, folds) == labels).mean() < 0.55
