"""k-NN of features beside a vote that is counted by hand."""

import math

import numpy as np
import pytest

from foveate.evaluation.evaluators.neighbours import TEMPERATURE, nearest_neighbours


def by_hand(train: np.ndarray, labels: np.ndarray, picture: np.ndarray, k: int) -> int:
    near = []
    for row, label in zip(train, labels, strict=True):
        cosine = float(row @ picture / np.linalg.norm(row) / np.linalg.norm(picture))
        near.append((cosine, int(label)))
    votes: dict[int, float] = {}
    for cosine, label in sorted(near, reverse=True)[:k]:
        votes[label] = votes.get(label, 0.0) + math.exp((cosine - 1) / TEMPERATURE)
    return max(sorted(votes), key=votes.__getitem__)


@pytest.mark.parametrize("k", [1, 5, 17])
def test_it_is_the_weighted_vote_of_the_k_nearest(k: int) -> None:
    rng = np.random.default_rng(k)
    train, test = rng.normal(size=(60, 4)), rng.normal(size=(40, 4))
    train_labels, test_labels = rng.integers(0, 3, 60), rng.integers(0, 3, 40)
    found = nearest_neighbours(train, train_labels, test, test_labels, k=k)
    expected = np.mean(
        [by_hand(train, train_labels, x, k) == y for x, y in zip(test, test_labels, strict=True)]
    )
    assert found == {"k": k, "n": 40, "accuracy": pytest.approx(expected)}


def test_more_neighbours_than_pictures_are_all_pictures() -> None:
    rng = np.random.default_rng(0)
    train, labels = rng.normal(size=(6, 3)), np.array([0, 0, 1, 1, 2, 2])
    assert nearest_neighbours(train, labels, train, labels, k=20)["k"] == 6
