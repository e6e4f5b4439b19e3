"""How much of the classes is in fixed features: a linear probe and nearest neighbours, cross-validated.

Each picture is predicted once, by a probe that saw no picture of its fold. Source of the practice: Kornblith et al.,
Do Better ImageNet Models Transfer Better?, CVPR 2019 (linear probe); scikit-learn computes.
"""

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Inverse strength C of the linear probe's L2 penalty, on standardised features; one is chosen inside each fold."""
NEIGHBOURS = 10
ITERATIONS = 500
Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]


def linear_probe(features: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(N,) int64 predicted labels, -1 where a row is in no fold.

    The penalty is chosen on the next fold, by probes that have seen neither that nor the fold that is predicted.

    Args:
        features: (N, F) float.
        labels: (N,) int64.
        folds: (N,) int64 from 0; -1: in none, such a row always trains.
    """
    found = out_of_fold(features, labels, folds, lambda right, of_label: right)
    return np.where(folds >= 0, found.argmax(axis=1), -1)


def log_likelihood(right: np.ndarray, of_label: np.ndarray) -> np.ndarray:
    """Judges probes by their probabilities, not by their answers alone."""
    return np.log(np.maximum(of_label, 1e-6))


def out_of_fold(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray, judge: Judge = log_likelihood
) -> np.ndarray:
    """(N, C) probabilities by the linear probe that has not seen a row's fold; zeros where a row is in no fold.

    Args: as ``linear_probe``.
        judge: what is best on the next fold on average, from whether an answer is right and the label's probability.
    """
    found = np.zeros((len(labels), int(labels.max()) + 1))
    count = int(folds.max()) + 1

    def probabilities(strength: float, train: np.ndarray, asked: np.ndarray) -> np.ndarray:
        probe = _fit(strength, features[train], labels[train])
        given = np.zeros((int(asked.sum()), found.shape[1]))
        given[:, probe.classes_] = probe.predict_proba(features[asked])
        return given

    for fold in range(count):
        test, inner = folds == fold, folds == (fold + 1) % count
        strength = STRENGTHS[0]
        if count > 2:
            scores = []
            for c in STRENGTHS:
                given, wanted = probabilities(c, ~test & ~inner, inner), labels[inner]
                of_label = given[np.arange(len(wanted)), wanted]
                scores.append(judge(given.argmax(axis=1) == wanted, of_label).mean())
            strength = STRENGTHS[int(np.argmax(scores))]
        found[test] = probabilities(strength, ~test, test)
    return found


def nearest_neighbours(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray, k: int = NEIGHBOURS
) -> np.ndarray:
    """(N,) int64 predicted labels, -1 where a row is in no fold: majority of the ``k`` nearest by cosine distance.

    Args: as ``linear_probe``.
    """
    predicted = np.full(len(labels), -1, dtype=np.int64)
    for fold in range(int(folds.max()) + 1):
        test = folds == fold
        model = KNeighborsClassifier(n_neighbors=min(k, int((~test).sum())), metric="cosine")
        model.fit(features[~test], labels[~test])
        predicted[test] = model.predict(features[test])
    return predicted


def _fit(strength: float, features: np.ndarray, labels: np.ndarray) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=ITERATIONS)).fit(
        features, labels
    )
