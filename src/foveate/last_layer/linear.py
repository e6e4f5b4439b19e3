"""Linear heads: standardised features, and softmax regression that stays near a first head."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from foveate.last_layer.stored import Head, Stored


def standard(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (F,); 1 where a feature does not vary. features: (n, F)."""
    deviation = features.std(axis=0)
    return features.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def unstandardised(weight: np.ndarray, bias: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> Head:
    """The head of features as they are, from that (C, F), (C,) of standardised ones."""
    return Head(weight / deviation, bias - (weight / deviation) @ mean)


def softmax_regression(on: Stored, weights: np.ndarray, first: Head, strength: float) -> Head:
    """The minimum of sum_i w_i CE_i + strength (|W - W_0|^2 + |b - b_0|^2), by L-BFGS in float64.

    weights: (n,), w. first: W_0 and b_0, where the search begins.
    """
    shape, rows = first.weight.shape, np.arange(len(on))
    start = np.concatenate([first.weight.ravel(), first.bias])

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        head = Head(values[: first.weight.size].reshape(shape), values[first.weight.size :])
        logs = log_softmax(head.logits(on.features), axis=1)
        slope = np.exp(logs)
        slope[rows, on.labels] -= 1
        slope *= weights[:, None]
        moved = values - start
        gradient = np.concatenate([(slope.T @ on.features).ravel(), slope.sum(axis=0)])
        value = -(weights * logs[rows, on.labels]).sum() + strength * moved @ moved
        return float(value), gradient + 2 * strength * moved

    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "gtol": 1e-8, "ftol": 1e-14}
    ).x
    return Head(found[: first.weight.size].reshape(shape), found[first.weight.size :])


def balanced(labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(n,) weights, times n / n_c of the picture's class, divided by their sum."""
    weighed = np.ones(len(labels)) if weights is None else weights
    weighed = weighed / np.bincount(labels)[labels]
    return np.asarray(weighed / weighed.sum())
