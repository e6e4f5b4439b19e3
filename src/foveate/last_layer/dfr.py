"""Deep feature reweighting."""

import warnings
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.evaluation.calibration import fit_temperature
from foveate.last_layer.last_layer import AnyRule, LastLayer, LastLayerConfig, Settings, Strengths
from foveate.last_layer.linear import standard, unstandardised
from foveate.last_layer.stored import Given, Head, Stored
from foveate.training.selection import WorstAttributeValidation


class DeepFeatureReweighting(LastLayer):
    """L1 logistic regression on as many pictures of each class with each value of an attribute, mean of several draws.

    Features are standardised. Each draw takes of every subgroup as many pictures as the smallest has. C is chosen on
    the half of the validation pictures that one draw has not seen, and all of them are then drawn from, as published
    (``pictures: validation``). With three classes and more: one against the rest, and one temperature over all.

    Source: Kirichenko et al., Last layer re-training is sufficient for robustness to spurious correlations, ICLR 2023;
    values from their code (PolinaKirichenko/deep_feature_reweighting).
    """

    class Config(LastLayerConfig):
        kind: Literal["dfr"] = "dfr"
        rule: AnyRule = WorstAttributeValidation()
        strengths: Strengths = (0.01, 0.03, 0.07, 0.1, 0.3, 0.7, 1.0)
        """C of scikit-learn: small is strong."""
        draws: int = Field(default=10, ge=1, le=1000)
        """Draws that are averaged."""

    needs_attribute = True

    def candidates(self, on: Stored, given: Given) -> Iterator[tuple[Settings, Head]]:
        for strength in sorted(self.config.strengths):
            yield {"C": strength}, self._head(on, strength, 1, given)

    def final(self, settings: Settings, head: Head, given: Given) -> Head:
        return self._head(self.source(given), settings["C"], self.config.draws, given)

    def _head(self, on: Stored, strength: float, draws: int, given: Given) -> Head:
        classes = len(given.first.bias)
        members = [
            np.flatnonzero(on.subgroups == number) for number in sorted(set(on.subgroups.tolist()) - {-1})
        ]
        if {int(label) for own in members for label in on.labels[own]} != set(range(classes)):
            raise ConfigError(
                f"The last layer 'dfr' needs {self.config.pictures} pictures of every class whose attribute "
                f"'{self.config.attribute}' is known; give more of them."
            )
        smallest = min(map(len, members))
        mean, deviation = standard(on.features)
        found = []
        for draw in range(draws):
            rng = given.rng(f"draw {draw}")
            part = on.take(np.concatenate([rng.permutation(own)[:smallest] for own in members]))
            found.append(_fitted((part.features - mean) / deviation, part.labels, classes, strength))
        weight, bias = (np.mean(parts, axis=0) for parts in zip(*found, strict=True))
        head = unstandardised(weight, bias, mean, deviation)
        return head if classes == 2 else head.scaled(1 / fit_temperature(head.logits(on.features), on.labels))


def _fitted(
    features: np.ndarray, labels: np.ndarray, classes: int, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (C, F) and biases (C,) of one class against the rest; of two classes each has half of the score."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    weights, biases = [], []
    for label in range(classes) if classes > 2 else (1,):
        model = LogisticRegression(C=strength, l1_ratio=1, solver="liblinear", max_iter=1000, random_state=0)
        with warnings.catch_warnings():  # the mean of the draws matters, not the last digit of one
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features, labels == label)
        weights.append(model.coef_[0])
        biases.append(model.intercept_[0])
    weight, bias = np.stack(weights), np.array(biases)
    return (
        (weight, bias)
        if classes > 2
        else (np.concatenate([-weight, weight]) / 2, np.array([-bias[0], bias[0]]) / 2)
    )
