"""The objective: named terms and, separately, their weights."""

from typing import TYPE_CHECKING, Annotated, Any, Union

import torch
from pydantic import Field
from torch import nn

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.classification import CrossEntropy, Focal, HeadPenalty, Huber
from foveate.objectives.spatial import ClassMapEnergy, SpatialMSE
from foveate.objectives.term import Context, Progress, Term

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
"""Columns that training writes beside the terms."""
RESERVED = {"loss", "pictures", *METRICS}

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


class Objective(nn.Module):
    """Computes every term and, apart from that, weighs them.

    ``objective(output, batch, progress) -> {name: scalar}``; ``total(terms, progress)`` is what is differentiated.

    Terms that are modules (learned projections) are registered: their parameters are trained beside the network's,
    in an optimizer group of their own, and kept in the checkpoint.
    """

    def __init__(self, config: dict[str, Any], context: Context) -> None:
        """Raises ConfigError: a name that history.csv uses already, or what a term says of its settings."""
        super().__init__()
        for name in config:
            _check_name(name)
        self._terms: dict[str, Term] = {name: LOSSES[c.loss](c, context) for name, c in config.items()}
        self._weights = {name: c.weight for name, c in config.items()}
        # The colon keeps a term's name apart from the attributes of a module ("type", "pop").
        self.parts = nn.ModuleDict(
            {f"{name}:term": term for name, term in self._terms.items() if isinstance(term, nn.Module)}
        )

    @property
    def taps(self) -> tuple[str, ...]:
        """The feature maps that the terms need."""
        return tuple(dict.fromkeys(tap for term in self._terms.values() for tap in term.taps))

    @property
    def differentiates(self) -> bool:
        """Whether a term takes gradients of the network itself, also in validation."""
        return self.needs_input_gradient or self._any("differentiates")

    @property
    def needs_input_gradient(self) -> bool:
        """Whether a term takes gradients with respect to the pictures."""
        return self._any("needs_input_gradient")

    @property
    def asks_again(self) -> bool:
        """Whether a term asks the network about changed pictures (``Output.again``)."""
        return self._any("asks_again")

    def _any(self, attribute: str) -> bool:
        return any(getattr(term, attribute, False) for term in self._terms.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Term names in the order they were configured."""
        return tuple(self._terms)

    def prepare(self, batch: Batch) -> Batch:
        """The batch that goes into the network: its pictures require a gradient if a term asks for that.

        The pictures are changed in place, so they must be no parameter and no one else's.
        """
        if self.needs_input_gradient:
            batch.images.requires_grad_(True)
        return batch

    def forward(self, output: Output, batch: Batch, progress: Progress) -> dict[str, torch.Tensor]:
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


def _check_name(name: str) -> None:
    if name in RESERVED:
        raise ConfigError(
            f"An objective term cannot be called '{name}', which history.csv uses already; rename it."
        )
    if not name or "." in name:
        raise ConfigError(f"An objective term cannot be called '{name}': give it a name without dots.")
