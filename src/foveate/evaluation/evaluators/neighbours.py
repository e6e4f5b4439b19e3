"""How good features are without training anything: the classes of the nearest training pictures vote."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from foveate.core import config
from foveate.data.batch import Batch
from foveate.evaluation.evaluators.evaluator import Evaluator
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.subject import Subject

TEMPERATURE = 0.07
"""A neighbour's vote is exp(cosine similarity / this)."""


class Neighbours(Evaluator):
    """How well the k nearest training pictures, by what the head receives, tell a picture's own class."""

    class Config(config.Config):
        kind: Literal["neighbours"] = "neighbours"
        k: int = Field(default=20, ge=1, le=10_000)
        """Training pictures that vote."""

    def __init__(self, config: Config, subject: Subject) -> None:
        super().__init__(config, subject)
        self.own = subject.own or subject.catalog
        self.seen: dict[int, np.ndarray] = {}

    def wants(self, rows: np.ndarray) -> bool:
        return len(self.own.classes) > 1 and len(self.own.indices("train")) > 0

    def see(self, batch: Batch) -> None:
        features = self.subject.features(batch).numpy()
        self.seen |= dict(zip(batch.index.tolist(), features, strict=True))

    def run(self, table: PredictionTable, folder: Path | None) -> Iterator[tuple[str, Any]]:
        rows = {split: self.own.indices(split).tolist() for split in ("train", "val", "test")}
        judged = {split: [row for row in rows[split] if row in self.seen] for split in ("val", "test")}
        if not any(judged.values()):
            return
        unseen = np.array([row for row in rows["train"] if row not in self.seen], dtype=np.int64)
        for batch in self.subject.batches(unseen, "features of training pictures") if len(unseen) else ():
            self.see(batch)

        train = np.stack([self.seen[row] for row in rows["train"]])
        for split, own in judged.items():
            if own:
                test = np.stack([self.seen[row] for row in own])
                labels = self.own.labels[rows["train"]], self.own.labels[own]
                yield (
                    f"{split}.neighbours",
                    nearest_neighbours(train, labels[0], test, labels[1], k=self.config.k),
                )


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
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import normalize

    k = min(k, len(train))

    def votes(distances: np.ndarray) -> np.ndarray:
        # Unit vectors: |a - b|^2 = 2 - 2 cos. The common factor exp(1 / T) is left out, it would overflow.
        return np.exp(-(distances**2) / 2 / TEMPERATURE)

    voter = KNeighborsClassifier(k, weights=votes, algorithm="brute").fit(normalize(train), train_labels)
    accuracy = float((voter.predict(normalize(test)) == test_labels).mean())
    return {"k": k, "n": len(test), "accuracy": accuracy}
