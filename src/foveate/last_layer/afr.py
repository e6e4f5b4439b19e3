"""Automatic feature reweighting."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.special import softmax

from foveate.last_layer.last_layer import LastLayer, LastLayerConfig, Settings, Strengths
from foveate.last_layer.linear import balanced, softmax_regression
from foveate.last_layer.stored import Given, Head, Stored


class AutomaticReweighting(LastLayer):
    """Pictures that the first head is unsure of weigh more; the new head stays near the first (AFR).

        minimum of sum_i w_i CE_i + strength |theta - theta_0|^2,   w_i ~ exp(-gamma p_i) / n_c,  sum 1

    p_i: the first head's probability of picture i's class c, which has n_c pictures. No attribute is needed but where
    the rule asks for one. The authors fit on a fifth of the training pictures kept apart, by gradient descent that is
    stopped early; here it runs to the minimum, which the penalty makes unique.

    Source: Qiu et al., Simple and fast group robustness by automatic feature reweighting, ICML 2023, equations 3 and 4.
    """

    class Config(LastLayerConfig):
        kind: Literal["afr"] = "afr"
        gammas: Annotated[tuple[Annotated[float, Field(ge=0, le=1000)], ...], Field(min_length=1, max_length=50)] = (
            2.0, 4.0, 8.0, 12.0, 20.0
        )  # fmt: skip
        strengths: Strengths = (0.1, 0.01, 0.001)
        """Of the penalty on the distance to the first head."""

    def candidates(self, on: Stored, given: Given) -> Iterator[tuple[Settings, Head]]:
        chance = softmax(given.first.logits(on.features), axis=1)[np.arange(len(on)), on.labels]
        for strength in sorted(self.config.strengths, reverse=True):
            for gamma in sorted(self.config.gammas):
                weights = balanced(on.labels, np.exp(-gamma * chance))
                head = softmax_regression(on, weights, given.first, strength)
                yield {"gamma": gamma, "strength": strength}, head
