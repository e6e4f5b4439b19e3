"""The objective: named terms and, separately, their weights."""

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.core.registry import Registry
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.attention_mining import AttentionMining
from foveate.objectives.classification import ArcFace, Centre, CrossEntropy, Focal, HeadPenalty, Huber
from foveate.objectives.counterfactual import Counterfactual
from foveate.objectives.group_dro import GroupDRO
from foveate.objectives.right_reasons import RightReasons
from foveate.objectives.spatial import (
    SpatialBCE,
    SpatialDice,
    SpatialEnergy,
    SpatialIoU,
    SpatialKL,
    SpatialL1,
    SpatialMSE,
)
from foveate.objectives.term import Context, Progress, Term, Total, addressed, alone
from foveate.objectives.views import JensenShannon, NTXent, SelfDistillation
from foveate.objectives.weighting import WEIGHTINGS, Constant, Situation, Weight, Weighting

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
"""Columns that training writes beside the terms."""
RESERVED = {"loss", "pictures", *METRICS}
RESERVED_STARTS = ("weight_", "share_")
"""Before a term's name: columns of its weight and its share of the loss."""

# A new loss: one class in one file, one line here.
LOSSES = Registry(
    "loss",
    CrossEntropy, Focal, Huber, GroupDRO, HeadPenalty,
    SpatialMSE, SpatialL1, SpatialBCE, SpatialDice, SpatialIoU, SpatialKL, SpatialEnergy,
    RightReasons, AttentionMining, Counterfactual, JensenShannon, NTXent, SelfDistillation, Centre, ArcFace,
    formerly="loss",
)  # fmt: skip

if TYPE_CHECKING:
    AnyTermConfig = Any
else:
    AnyTermConfig = LOSSES.settings
ObjectiveConfig = dict[str, AnyTermConfig]
"""{term name: settings with a ``kind`` from LOSSES, a ``weight`` and a ``weighting``}."""


def default_objective() -> dict[str, Any]:
    """Plain cross-entropy under the name "classification"."""
    return {"classification": CrossEntropy.Config()}


@dataclass(frozen=True)
class Weighed:
    """One step's sum."""

    total: torch.Tensor
    """Scalar, what is differentiated."""
    weights: dict[str, Weight]
    """{term: the factor it got}, detached."""


class Objective(nn.Module):
    """Computes every term and, apart from that, weighs them.

    ``objective(output, batch, progress) -> {name: scalar}``; ``weigh(terms, output, progress).total`` is what is
    differentiated.

    Terms that are modules (learned projections) and the weightings are registered: their parameters are trained
    beside the network's, in an optimizer group of their own, and all their state is kept in the checkpoint. In
    training mode every call of ``weigh`` moves what weightings measure; in eval mode nothing does.
    """

    total: Total = staticmethod(alone)

    def __init__(self, config: dict[str, Any], context: Context) -> None:
        """Raises ConfigError: a name that is taken, or what a term or a weighting says of its settings."""
        super().__init__()
        for name in config:
            _check_name(name)
        self.terms: dict[str, Term] = {name: LOSSES.build(c, context) for name, c in config.items()}
        self._weights = {name: c.weight for name, c in config.items()}
        self._on = {name: c.on for name, c in config.items()}
        for name, on in self._on.items():
            if on not in ("", "first", *context.branches):
                raise ConfigError(
                    f"The term '{name}' is on '{on}', which this network does not have; "
                    f"choose one of {', '.join(('first', *context.branches))}, or leave 'on' out."
                )
            if on and (self.terms[name].taps or self.terms[name].needs_input_gradient):
                raise ConfigError(
                    f"The term '{name}' is about places of the whole picture; it cannot be on '{on}'."
                )
        self._weightings: dict[str, Weighting] = {
            # Weight 0 is "measured, not trained on" with any weighting.
            name: WEIGHTINGS.build(c.weighting) if c.weight else Constant(Constant.Config())
            for name, c in config.items()
        }
        # The colon keeps a term's name apart from the attributes of a module ("type", "pop").
        self.parts = nn.ModuleDict(
            {f"{name}:term": term for name, term in self.terms.items() if isinstance(term, nn.Module)}
            | {f"{name}:weighting": weighting for name, weighting in self._weightings.items()}
        )
        for name, weighting in self._weightings.items():
            weighting.check(name, self._weightings, self.terms)

    def add_by(self, total: Total) -> None:
        """Take sums over the processes of a distributed run by ``total``; a new objective is one process's own."""
        self.total = total
        for term in self.terms.values():
            term.total = total

    @property
    def names(self) -> tuple[str, ...]:
        """Term names in the order they were configured."""
        return tuple(self.terms)

    @property
    def taps(self) -> tuple[str, ...]:
        """The feature maps that the terms need."""
        return tuple(dict.fromkeys(tap for term in self.terms.values() for tap in term.taps))

    @property
    def differentiates(self) -> bool:
        """Whether a term takes gradients of the network itself, also in validation."""
        return self.needs_input_gradient or any(term.differentiates for term in self.terms.values())

    @property
    def needs_tap_gradient(self) -> bool:
        """Whether feature maps must require a gradient, also those of a frozen network."""
        return self.differentiates or any(w.needs_tap_gradient for w in self._weightings.values())

    @property
    def needs_input_gradient(self) -> bool:
        """Whether a term takes gradients with respect to the pictures."""
        return any(term.needs_input_gradient for term in self.terms.values())

    @property
    def asks_again(self) -> bool:
        """Whether a term asks the network about changed pictures (``Output.again``)."""
        return any(term.asks_again for term in self.terms.values())

    @property
    def trains(self) -> bool:
        """Whether any term has a weight other than 0."""
        return any(self._weights[name] for name in self.terms)

    @property
    def moves(self) -> bool:
        """Whether any weight changes over time."""
        return any(not weighting.constant for weighting in self._weightings.values())

    def without(self, names: Collection[str]) -> "Objective":
        """The same objective (same modules, same state) with some terms left out."""
        part = copy.copy(self)
        part.terms = {name: term for name, term in self.terms.items() if name not in names}
        part._weightings = {name: w for name, w in self._weightings.items() if name not in names}
        return part

    def prepare(self, batch: Batch) -> Batch:
        """The batch that goes into the network: its pictures require a gradient if a term asks for that.

        The pictures are changed in place, so they must be no parameter and no one else's.
        """
        if self.needs_input_gradient:
            batch.images.requires_grad_(True)
        return batch

    def forward(self, output: Output, batch: Batch, progress: Progress) -> dict[str, torch.Tensor]:
        """Every term, unweighted; without those on a branch that ``output`` does not have.

        Raises:
            ConfigError: no term is left.
        """
        found = {}
        for name, term in self.terms.items():
            seen = addressed(output, batch, self._on[name]) if self._on[name] else (output, batch)
            if seen is not None:
                found[name] = term(*seen, progress)
        if not found:
            branches = ", ".join(self._on[name] for name in self.terms)
            raise ConfigError(
                f"The network gives none of the branches that the terms are on ({branches}) now; add a term that is on "
                "the logits that predict (weight 0 measures without training on it)."
            )
        return found

    def always(self, name: str) -> bool:
        """Whether a term is computed for certain, in evaluation and from the first epoch on."""
        return self._on[name] in ("", "first")

    def weigh(
        self,
        terms: dict[str, torch.Tensor],
        output: Output,
        progress: Progress,
    ) -> Weighed:
        """The weighted sum of ``terms``, which this objective computed from ``output``."""
        weights: dict[str, Weight] = {}
        weightings = {name: self._weightings[name] for name in terms}
        for stage in sorted({weighting.stage for weighting in weightings.values()}):
            now = Situation(
                terms=terms,
                weights={name: _detached(weight) for name, weight in weights.items()},
                weightings=weightings,
                taps={name: [output.taps[tap] for tap in self.terms[name].taps] for name in terms},
                classification=[name for name in terms if self.terms[name].guides_nothing],
                progress=progress,
                pictures=len(output.logits),
                total=self.total,
            )
            weights |= {
                name: self._weights[name] * weighting(name, now)
                for name, weighting in weightings.items()
                if weighting.stage == stage
            }
        # A term with weight 0 is left out: its backward pass would be work for nothing.
        summands = [
            weights[name] * value
            for name, value in terms.items()
            if isinstance(weights[name], torch.Tensor) or weights[name]
        ] or [value * 0.0 for value in terms.values()]
        summands += [e for e in (w.extra() for w in weightings.values()) if e is not None]
        return Weighed(torch.stack(summands).sum(), {name: _detached(weights[name]) for name in terms})


def _detached(weight: Weight) -> Weight:
    return weight.detach() if isinstance(weight, torch.Tensor) else weight


def _check_name(name: str) -> None:
    if name in RESERVED or name.startswith(RESERVED_STARTS):
        raise ConfigError(
            f"An objective term cannot be called '{name}', which history.csv uses already; rename it."
        )
    if not name or "." in name:
        raise ConfigError(f"An objective term cannot be called '{name}': give it a name without dots.")
