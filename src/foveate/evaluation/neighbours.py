"""How good features are without training anything: the classes of the nearest training pictures vote."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize

from foveate.data.batch import Batch
from foveate.evaluation.inference import evaluating

TEMPERATURE = 0.07
"""A neighbour's vote is exp(cosine similarity / this)."""


def extract_features(model: Any, batches: Iterable[Batch], *, device: torch.device | str) -> np.ndarray:
    """(N, F) float32, what the head receives, in evaluation mode, in the order of the batches."""
    found = []
    with evaluating(model), torch.no_grad():
        for batch in batches:
            images = batch.prepare(device, model.mean, model.std, torch.channels_last).images
            found.append(model.features(images).float().cpu().numpy())
    return np.concatenate(found)


def nearest_neighbours(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, *, k: int
) -> dict[str, Any]:
    """Accuracy of the weighted vote of the ``k`` nearest training pictures by cosine similarity.

    Args:
        train: (N, F) features. train_labels: (N,). test: (n, F). test_labels: (n,).

    Returns:
        {"k", "n", "accuracy"}; k is lowered to N where there are fewer training pictures.

    Source: Wu et al., Unsupervised feature learning via non-parametric instance discrimination, CVPR 2018.
    """
    k = min(k, len(train))

    def votes(distances: np.ndarray) -> np.ndarray:
        # Unit vectors: |a - b|^2 = 2 - 2 cos. The common factor exp(1 / T) is left out, it would overflow.
        return np.exp(-(distances**2) / 2 / TEMPERATURE)

    voter = KNeighborsClassifier(k, weights=votes, algorithm="brute").fit(normalize(train), train_labels)
    accuracy = float((voter.predict(normalize(test)) == test_labels).mean())
    return {"k": k, "n": len(test), "accuracy": accuracy}
