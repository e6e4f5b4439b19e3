"""The last layer on pictures whose background says nothing."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from foveate.last_layer.last_layer import LastLayer, LastLayerConfig, Settings, Strengths
from foveate.last_layer.linear import balanced, softmax_regression, standard, unstandardised
from foveate.last_layer.stored import Given, Head, Stored


class Swapped(LastLayer):
    """Softmax regression on features of training pictures that have another picture's background; needs masks.

    The backgrounds are those of the batch transform ``background_swap``, of pictures of any class. Classes weigh alike,
    features are standardised, and ``strengths`` are those of the squared weights.
    """

    class Config(LastLayerConfig):
        kind: Literal["swapped"] = "swapped"
        pictures: Literal["training"] = "training"
        strengths: Strengths = (0.1, 0.01, 0.001)
        copies: int = Field(default=4, ge=1, le=100)
        """Backgrounds that each picture gets."""

        def consumes(self) -> tuple[str, ...]:
            return ("masks", *super().consumes())

    def source(self, given: Given) -> Stored:
        return given.swapped(self.config.copies)

    def candidates(self, on: Stored, given: Given) -> Iterator[tuple[Settings, Head]]:
        mean, deviation = standard(on.features)
        plain = Stored((on.features - mean) / deviation, on.labels, on.subgroups)
        nothing = Head(np.zeros_like(given.first.weight), np.zeros_like(given.first.bias))
        for strength in sorted(self.config.strengths, reverse=True):
            head = softmax_regression(plain, balanced(on.labels), nothing, strength)
            yield {"strength": strength}, unstandardised(head.weight, head.bias, mean, deviation)
