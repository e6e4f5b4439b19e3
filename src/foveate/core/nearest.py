"""Distances between directions, in numpy: scikit-learn's neighbours take a second to load."""

import numpy as np


def unit(features: np.ndarray) -> np.ndarray:
    """(N, F) -> (N, F) float64, each row of length 1; rows of zeros stay."""
    wide = features.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.divide(wide, length, out=wide, where=length > 0)


def distance_to_nth(known: np.ndarray, features: np.ndarray, n: int) -> np.ndarray:
    """(M, F), (N, F) -> (N,): Euclidean distance to the ``n``-th nearest known row."""
    square = (features**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * features @ known.T
    distance: np.ndarray = np.sqrt(np.maximum(np.partition(square, n - 1, axis=1)[:, n - 1], 0))
    return distance
