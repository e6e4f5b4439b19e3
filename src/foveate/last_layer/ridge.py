"""Ridge regression on one-hot labels: every strength from one decomposition."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from foveate.evaluation.calibration import fit_temperature
from foveate.last_layer.last_layer import LastLayer, LastLayerConfig, Settings, Strengths, in_words
from foveate.last_layer.linear import standard, unstandardised
from foveate.last_layer.stored import Given, Head, Stored
from foveate.training.selection import LastEpoch, LeaveOneOut


class Ridge(LastLayer):
    """A linear probe: ridge regression on one-hot labels, every strength from one singular value decomposition.

    Features are standardised. With ``rule: leave_one_out`` the strength is that of the smallest squared error of
    pictures left out one by one, e_i = (y_i - f_i) / (1 - h_ii), which costs no further fit; else the rule looks at the
    validation pictures. One temperature, fitted on them, makes probabilities of the scores (on left-out training
    pictures where there are none, or with ``rule: last_epoch``, which looks at no validation picture).

    Source of the practice: Beyer et al., Better plain ViT baselines and big_vision's fewshot_lsr.
    """

    class Config(LastLayerConfig):
        kind: Literal["ridge"] = "ridge"
        pictures: Literal["training"] = "training"
        strengths: Strengths = tuple(10.0**k for k in range(-2, 7))
        """alpha of scikit-learn."""

    leaves_out = True

    def candidates(self, on: Stored, given: Given) -> Iterator[tuple[Settings, Head]]:
        path = RidgePath(on, len(given.first.bias))
        for strength in sorted(self.config.strengths, reverse=True):
            yield {"alpha": strength}, path.head(strength)

    def fit(self, given: Given) -> tuple[Head, str]:
        if not isinstance(self.config.rule, LeaveOneOut):
            return super().fit(given)
        path = RidgePath(self.source(given), len(given.first.bias))
        strengths = sorted(self.config.strengths, reverse=True)
        errors = [float(np.square(path.left_out(strength) - path.wanted).mean()) for strength in strengths]
        best = int(np.argmin(errors))
        settings = {"alpha": strengths[best]}
        how = f"{in_words(settings)}, of {len(errors)} by the rule '{LeaveOneOut.words}' (error {errors[best]:.4f})"
        return self.final(settings, path.head(strengths[best]), given), how

    def final(self, settings: Settings, head: Head, given: Given) -> Head:
        known = given.validation()
        if len(known) and not isinstance(self.config.rule, LastEpoch):
            return head.scaled(1 / fit_temperature(head.logits(known.features), known.labels))
        on = self.source(given)
        left_out = RidgePath(on, len(head.bias)).left_out(settings["alpha"])
        return head.scaled(1 / fit_temperature(left_out, on.labels))


class RidgePath:
    """Ridge regression of one-hot labels on standardised features, for any strength.

    Attributes:
        wanted: (n, C) float64, one-hot labels.
    """

    def __init__(self, on: Stored, classes: int) -> None:
        self.wanted = np.eye(classes)[on.labels]
        self.mean, self.deviation = standard(on.features)
        self.left, self.values, self.right = np.linalg.svd(
            (on.features - self.mean) / self.deviation, full_matrices=False
        )
        self.centre = self.wanted.mean(axis=0)

    def head(self, strength: float) -> Head:
        """The head of features as they are."""
        shrunk = self.values / (self.values**2 + strength)
        weight = (self.right.T * shrunk) @ (self.left.T @ (self.wanted - self.centre))
        return unstandardised(weight.T, self.centre, self.mean, self.deviation)

    def left_out(self, strength: float) -> np.ndarray:
        """(n, C): the scores of each picture by the regression on all others."""
        kept = self.values**2 / (self.values**2 + strength)
        fitted = self.centre + (self.left * kept) @ (self.left.T @ (self.wanted - self.centre))
        leverage = 1 / len(self.wanted) + (self.left**2 * kept).sum(axis=1)
        return np.asarray(self.wanted - (self.wanted - fitted) / (1 - leverage)[:, None])
