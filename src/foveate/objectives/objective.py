"""The objective: named terms and, separately, their weights."""

from typing import TYPE_CHECKING, Annotated, Any, Union

import torch
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.classification import CrossEntropy, Focal, HeadPenalty, Huber
from foveate.objectives.spatial import ClassMapEnergy, SpatialMSE
from foveate.objectives.term import Context, Progress, Term

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
"""Columns that training writes beside the terms."""

# A new loss: one class in one file, one line here.
LOSSES: dict[str, type[Any]] = {
    "cross_entropy": CrossEntropy,
    "focal": Focal,
    "huber": Huber,
    "head_penalty": HeadPenalty,
    "spatial_mse": SpatialMSE,
    "class_map_energy": ClassMapEnergy,
}

if TYPE_CHECKING:
    AnyTermConfig = Any  # built from the table, which a type checker cannot follow
else:
    AnyTermConfig = Annotated[
        Union[tuple(loss.Config for loss in LOSSES.values())],  # noqa: UP007
        Field(discriminator="loss"),
    ]
ObjectiveConfig = dict[str, AnyTermConfig]
"""{term name: settings with a ``loss`` from LOSSES and a ``weight``}."""


def default_objective() -> dict[str, Any]:
    """Plain cross-entropy under the name "classification"."""
    return {"classification": CrossEntropy.Config()}


class Objective:
    """Computes every term and, apart from that, weighs them.

    ``terms(output, batch, progress) -> {name: scalar}``; ``total(terms, progress)`` is what is differentiated.
    """

    def __init__(self, config: dict[str, Any], context: Context) -> None:
        taken = sorted({"loss", *METRICS} & set(config))
        if taken:
            raise ConfigError(
                f"An objective term cannot be called '{taken[0]}', which history.csv uses already; rename it."
            )
        self._terms: dict[str, Term] = {name: LOSSES[c.loss](c, context) for name, c in config.items()}
        self._weights = {name: c.weight for name, c in config.items()}
        self.taps: tuple[str, ...] = tuple(
            dict.fromkeys(tap for term in self._terms.values() for tap in term.taps)
        )

    @property
    def differentiates(self) -> bool:
        """Whether a term takes gradients of the network itself, also in validation."""
        return any(getattr(term, "differentiates", False) for term in self._terms.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Term names in the order they were configured."""
        return tuple(self._terms)

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> dict[str, torch.Tensor]:
        """Every term, unweighted."""
        return {name: term(output, batch, progress) for name, term in self._terms.items()}

    def weights(self, progress: Progress) -> dict[str, float]:
        """The factor of each term at this point of training."""
        return dict(self._weights)

    def total(self, terms: dict[str, torch.Tensor], progress: Progress) -> torch.Tensor:
        """The weighted sum."""
        weights = self.weights(progress)
        return torch.stack(
            [weights[name] * value for name, value in terms.items() if weights[name] != 0]
        ).sum()
