"""Can the confidence be believed: reliability, expected calibration error, temperature scaling."""

from dataclasses import dataclass

import numpy as np

from foveate.core.errors import DataError
from foveate.evaluation.predictions import PredictionTable, log_softmax

BINS = 15
"""Equal-width bins of the confidence; bin b holds (b/15, (b+1)/15], the first one also 0."""
TEMPERATURES = (0.05, 20.0)
"""Where the temperature is searched; a value at an end means that the validation set is small or easy."""


@dataclass(frozen=True)
class Bin:
    """One bin of the reliability diagram; accuracy and confidence are None when it is empty."""

    low: float
    high: float
    n: int
    accuracy: float | None
    confidence: float | None


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Accuracy beside mean confidence in equal-width bins. confidence (N,) in [0, 1], correct (N,) bool."""
    confidence = np.asarray(confidence, dtype=np.float64)
    edges = np.linspace(0, 1, bins + 1)
    # The edges themselves are compared, never confidence * bins: rounding would move a value on an edge.
    where = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count, hits, total = (
        np.bincount(where, weights=weights, minlength=bins).tolist()
        for weights in (None, np.asarray(correct, dtype=np.float64), confidence)
    )
    return [
        Bin(low, high, int(n), hit / n if n else None, sum_ / n if n else None)
        for low, high, n, hit, sum_ in zip(
            edges[:-1].tolist(), edges[1:].tolist(), count, hits, total, strict=True
        )
    ]


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Mean of abs(accuracy - confidence) over the bins, weighted by their pictures.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3. NaN for no pictures.
    """
    parts = reliability(confidence, correct, bins)
    n = sum(part.n for part in parts)
    if not n:
        return float("nan")
    # An empty bin has no gap.
    gaps = [part.n * abs((part.accuracy or 0.0) - (part.confidence or 0.0)) for part in parts]
    return sum(gaps) / n


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean over N of -log softmax(logits / T) of the true class, in nats. logits (N, C), labels (N,) int."""
    logs = log_softmax(np.asarray(logits, dtype=np.float64) / temperature)
    return float(-logs[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T in [0.05, 20] that minimises the negative log-likelihood of softmax(logits / T) (Guo et al.
    2017).

    logits or log-probabilities (N, C), labels (N,) int. The problem is convex in 1 / T, so a bounded scalar
    search on log T finds the minimum.

    Raises:
        DataError: no labelled picture.
    """
    labels = np.asarray(labels, dtype=np.int64)
    rows = labels >= 0
    if not rows.any():
        raise DataError("A temperature needs labelled validation pictures; there is none.")
    logits, labels = np.asarray(logits, dtype=np.float64)[rows], labels[rows]
    from scipy.optimize import minimize_scalar  # slow to import, and prediction does without

    best = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, float(np.exp(log_t))),
        bounds=tuple(np.log(TEMPERATURES)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(best.x))


def scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (N, C) after temperature scaling, float64; the most probable class stays the same."""
    return np.exp(log_softmax(log_probabilities(probabilities) / temperature))


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Logarithm in float64, with zeros (underflow of float32) taken as the smallest float32 above zero."""
    smallest = np.finfo(np.float32).smallest_subnormal
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), smallest))


def temperature_of(table: PredictionTable) -> float:
    """The temperature fitted on the validation split of ``table``, and on nothing else.

    Raises:
        DataError: the table has no labelled validation pictures.
    """
    validation = table.of_split("val")
    return fit_temperature(log_probabilities(validation.probabilities), validation.label)
