"""Selective last-layer fine-tuning."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.special import log_softmax

from foveate.last_layer.last_layer import LastLayer, LastLayerConfig, Settings
from foveate.last_layer.linear import balanced, softmax_regression
from foveate.last_layer.stored import Given, Head, Stored

PASSES = 10
"""Draws of dropped features over which the disagreement is averaged; the authors take one."""


class SelectiveFinetuning(LastLayer):
    """The pictures on which the head and itself under dropout disagree most, classes balanced (SELF).

    Disagreement is KL(p || q), p with all features and q with a share of them dropped. Of its variants this one needs
    no second network; the one with an early-stopped network, which the authors find a little better, would.
    They take 250 steps of gradient descent; here ``strength`` |theta - theta_0|^2 holds the head near the first.

    Source: LaBonte et al., Towards last-layer retraining for group robustness with fewer annotations, NeurIPS 2023.
    """

    class Config(LastLayerConfig):
        kind: Literal["self"] = "self"
        numbers: Annotated[
            tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...], Field(min_length=1, max_length=20)
        ] = (20, 100, 500)  # fmt: skip
        """Pictures that are taken; where there are fewer, all."""
        dropouts: Annotated[
            tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1, max_length=20)
        ] = (0.5, 0.7, 0.9)  # fmt: skip
        strength: float = Field(default=0.01, gt=0)

    def candidates(self, on: Stored, given: Given) -> Iterator[tuple[Settings, Head]]:
        for share in sorted(self.config.dropouts):
            order = np.argsort(
                -disagreement(on.features, given.first, share, given.rng("dropout")), kind="stable"
            )
            for number in sorted({min(number, len(on)) for number in self.config.numbers}):
                part = on.take(order[:number])
                head = softmax_regression(part, balanced(part.labels), given.first, self.config.strength)
                yield {"pictures": number, "dropout": share}, head


def disagreement(features: np.ndarray, head: Head, share: float, rng: np.random.Generator) -> np.ndarray:
    """(n,): mean over the draws of KL(p || q), ``share`` of the features (n, F) being dropped in q."""
    whole = log_softmax(head.logits(features), axis=1)
    total = np.zeros(len(features))
    for _ in range(PASSES):
        kept = features * (rng.random(features.shape) >= share) / (1 - share)
        total += (np.exp(whole) * (whole - log_softmax(head.logits(kept), axis=1))).sum(axis=1)
    return total / PASSES
