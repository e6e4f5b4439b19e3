"""A curriculum: easy pictures first, ever more of them."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from foveate.core import config as core
from foveate.data.epoch_change import Change
from foveate.feedback.feedback import Feedback, Moment, TrainingPictures
from foveate.models.networks import Network


class Curriculum(Feedback):
    """Training begins with a share of every class's pictures, the easiest, and takes in the others little by little.

    How hard a picture is tells, before the first epoch, a linear probe on the features that the network has then,
    asked about pictures that it was not fitted on (out of fold): -log of the probability of the label. The share grows
    linearly from ``first`` to all over ``epochs``. Controls with the same pacing: "hard" the hardest first, "random"
    any order. Epochs are shorter while pictures are missing.

    Sources: Bengio et al., Curriculum learning, ICML 2009; controls: Wu et al., When do curricula work?, ICLR 2021.
    """

    class Config(core.Config):
        kind: Literal["curriculum"] = "curriculum"
        order: Literal["easy", "hard", "random"] = "easy"
        """Which pictures come first."""
        first: float = Field(default=0.2, gt=0, le=1)
        """Share of every class that the first epoch shows."""
        epochs: int = Field(default=10, ge=1, le=100_000)
        """Epochs (over all phases) until all are shown; half of the training is usual."""
        folds: int = Field(default=5, ge=2, le=50)
        """Parts that the probe's pictures are divided into."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._hardness = torch.zeros(0, dtype=torch.float64)

    def between(self, moment: Moment, network: Network, pictures: TrainingPictures) -> Change | None:
        """The order of the coming epoch, until all pictures are shown."""
        config, rows = self.config, pictures.rows
        labels = pictures.labels[rows]
        if moment.epoch == 0:
            if config.order == "random":
                hardness = moment.rng("curriculum").random(len(rows))
            else:
                features = np.concatenate(
                    [
                        network.features(batch.images).float().cpu().numpy()
                        for batch in pictures.prepared(rows)
                    ]
                )
                hardness = out_of_fold_loss(features, labels, config.folds, moment.rng("folds"))
                hardness = hardness if config.order == "easy" else -hardness
            self._hardness = torch.from_numpy(hardness)
        if moment.epoch >= config.epochs:
            return Change() if moment.epoch == config.epochs else None
        share = config.first + (1 - config.first) * moment.epoch / config.epochs
        order = np.lexsort(
            (self._hardness.numpy(), labels)
        )  # the classes one after the other, each from easy to hard
        counts = np.bincount(labels, minlength=pictures.classes)
        place = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
        shown = rows[order[place < np.ceil(share * counts)[labels[order]]]]
        return Change(order=moment.rng("order").permutation(shown))

    def state(self) -> dict[str, torch.Tensor]:
        """(n,): how hard each training picture is."""
        return {"hardness": self._hardness}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """See ``state``."""
        self._hardness = state["hardness"]


def out_of_fold_loss(
    features: np.ndarray, labels: np.ndarray, folds: int, rng: np.random.Generator
) -> np.ndarray:
    """(n,) -log probability of the label, by probes that did not see the picture: features (n, F), labels (n,).

    Folds hold like shares of every class; where the others hold one class alone, or none of the label's, the label has
    the probability 1e-12.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    order = np.lexsort((rng.random(len(labels)), labels))
    fold = np.empty(len(labels), dtype=np.int64)
    fold[order] = np.arange(len(labels)) % folds
    probability = np.full(len(labels), 1e-12)
    for part in range(folds):
        inside = fold == part
        known = np.unique(labels[~inside])
        if len(known) < 2 or not inside.any():
            continue
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        answers = probe.fit(features[~inside], labels[~inside]).predict_proba(features[inside])
        column = np.searchsorted(known, labels[inside]).clip(max=len(known) - 1)
        right = known[column] == labels[inside]
        found = answers[np.arange(len(column)), column]
        probability[inside] = np.where(right, found.clip(1e-12), 1e-12)
    return -np.log(probability)
