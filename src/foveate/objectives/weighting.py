"""Weights of terms over time: one class a method and one line in WEIGHTINGS.

A weighting gives a factor at every step; the term's ``weight`` multiplies it. Ramps follow a formula; ``share`` and
``gradient_norm`` measure and keep running means; ``uncertainty`` is learned. As with BatchNorm, what is measured moves
in training mode only: in eval mode the weights stay as they are.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from pydantic import ConfigDict, Field, model_validator
from torch import nn

from foveate.core.config import Config
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.core.registry import Registry

Weight = float | torch.Tensor
"""A factor: a number, or a scalar tensor where it is measured or learned."""


@dataclass(frozen=True)
class Situation:
    """What a weighting may look at in one step."""

    terms: Mapping[str, torch.Tensor]
    """{name: scalar}, not weighted, with their graphs."""
    weights: Mapping[str, Weight]
    """Of the terms whose weighting belongs to an earlier stage, detached."""
    weightings: Mapping[str, "Weighting"]
    """Of all terms that take part."""
    taps: Mapping[str, Sequence[torch.Tensor]]
    """{name: the feature maps that the term looks at, each (B, K, h, w)}."""
    classification: Sequence[str]
    """The terms that guide nothing: they look at the logits alone."""
    progress: Progress
    pictures: int
    """Of this process."""
    total: Callable[[torch.Tensor], torch.Tensor]
    """Sum over the processes of a distributed run."""


class Weighting(nn.Module):
    """How the factor of one term changes over time. A class with a ``Config`` and ``forward(name, now)``."""

    stage = 0
    """A weighting sees the weights of earlier stages: 0 follows from progress or parameters alone."""
    constant = False
    """Whether the factor never changes."""
    needs_tap_gradient = False
    """Whether feature maps must require a gradient, also those of a frozen network."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def forward(self, name: str, now: Situation) -> Weight:
        """The factor of the term ``name``."""
        raise NotImplementedError

    def extra(self) -> torch.Tensor | None:
        """A scalar that is added to the loss and belongs to no term."""
        return None

    def check(self, name: str, weightings: Mapping[str, "Weighting"], terms: Mapping[str, Any]) -> None:
        """Whether the whole objective allows this weighting for the term ``name``.

        Args:
            weightings: {term: its weighting}.
            terms: {term: its ``Term``}.

        Raises:
            ConfigError: what is missing.
        """


class Constant(Weighting):
    """The factor is 1."""

    class Config(Config):
        kind: Literal["constant"] = "constant"

    constant = True

    def forward(self, name: str, now: Situation) -> Weight:
        return 1.0


class RampConfig(Config):
    """A factor that goes from one value to another."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    first: float = Field(default=0.0, ge=0, alias="from")
    """Factor before the ramp."""
    last: float = Field(default=1.0, ge=0, alias="to")
    """Factor after the ramp."""
    start: float = Field(default=0.0, ge=0, le=1)
    """Where the ramp begins, as a share of ``over``."""
    end: float = Field(default=1.0, ge=0, le=1)
    """Where it ends, as a share of ``over``; where it begins: a jump."""
    over: Literal["training", "phase"] = "training"
    """What start and end are shares of: the whole training, every phase counted at its full number of epochs
    (one that stops early makes the ramp jump on), or each phase anew."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"the ramp ends at {self.end}, before its start {self.start}")
        return self


class Linear(Weighting):
    """A straight ramp: from + (to - from) t, t = (p - start) / (end - start) kept in [0, 1], p = progress."""

    class Config(RampConfig):
        kind: Literal["linear"] = "linear"

    def forward(self, name: str, now: Situation) -> Weight:
        c = self.config
        p = now.progress.training if c.over == "training" else now.progress.share
        t = min(max((p - c.start) / (c.end - c.start), 0.0), 1.0) if c.end > c.start else float(p >= c.start)
        return c.first + (c.last - c.first) * self.shape(t)

    def shape(self, t: float) -> float:
        """How far the ramp has come at ``t``; both in [0, 1]."""
        return t


class Cosine(Linear):
    """A ramp along half a cosine: the t of a linear ramp becomes (1 - cos(pi t)) / 2."""

    class Config(RampConfig):
        kind: Literal["cosine"] = "cosine"

    def shape(self, t: float) -> float:
        return (1 - math.cos(math.pi * t)) / 2


class MeasuredConfig(Config):
    """Running means, and a bound."""

    smoothing: float = Field(default=0.7, ge=0, lt=1)
    """Decay of the running means a step; 0 = this batch alone, 0.7 = about the last three, 0.9 = the last ten. More
    is calmer but lags: with few steps an epoch, a loss that falls fast is still remembered as large."""
    max: float = Field(default=100.0, gt=0)
    """Largest factor."""


class Measured(Weighting):
    """A factor that is the ratio of two measured quantities.

    Both are exponential moving averages with the same decay that start at 0, so the correction of the start
    (1 - decay^t) is the same for both and cancels. Until something other than 0 was measured the factor is 1.
    """

    means: torch.Tensor

    def __init__(self, config: MeasuredConfig) -> None:
        super().__init__(config)
        self.register_buffer("means", torch.zeros(2))

    @torch.no_grad()
    def see(self, own: torch.Tensor, other: torch.Tensor, now: Situation) -> None:
        """Take one step's quantities (scalars) into the means; own = 0 (no picture took part) is not counted."""
        share = now.pictures / now.total(torch.full_like(self.means[0], now.pictures))  # 1 in one process
        seen = now.total(torch.stack([own.detach().float(), other.detach().float()]) * share)
        moved = self.means.lerp(seen, 1 - self.config.smoothing)
        self.means.copy_(torch.where(seen[0] > 0, moved, self.means))

    def ratio(self, factor: float) -> torch.Tensor:
        """factor * other / own, at most ``max``."""
        own, other = self.means
        return torch.where(own > 0, (factor * other / own).clamp(max=self.config.max), torch.ones_like(own))


class Share(Measured):
    """Keeps the term's share of the whole weighted loss at a set fraction.

    With s_i the set shares, S their sum and O the sum of the other weighted terms, the whole is O / (1 - S) and
    w_i = s_i / (1 - S) * O / L_i: all terms with a share are solved together. L_i and O are absolute values, detached,
    each a running mean. The wish of the Learn 2 Look report, whose spatial share grew from a tenth to two thirds.
    """

    class Config(MeasuredConfig):
        kind: Literal["share"] = "share"
        share: float = Field(default=0.2, gt=0, lt=1)
        """Share of the whole weighted loss. It holds with ``weight`` 1; another weight multiplies the outcome."""

    stage = 2

    def forward(self, name: str, now: Situation) -> Weight:
        others = [weight * now.terms[n].detach().float().abs() for n, weight in now.weights.items()]
        if not others:
            return 1.0
        if self.training:
            self.see(now.terms[name].abs(), torch.stack(others).sum(), now)
        shares = sum(w.config.share for w in now.weightings.values() if isinstance(w, Share))
        return self.ratio(self.config.share / (1 - shares))

    def check(self, name: str, weightings: Mapping[str, Weighting], terms: Mapping[str, Any]) -> None:
        """Some loss must be left for the others."""
        shares = {n: w.config.share for n, w in weightings.items() if isinstance(w, Share)}
        if len(shares) == len(weightings) or sum(shares.values()) >= 1:
            raise ConfigError(
                f"The shares of the objective's terms {sorted(shares)} come to {sum(shares.values()):g}; below 1, and "
                "to a term with another weighting, something of the loss must be left."
            )


class GradientNorm(Measured):
    """Keeps the norm of the term's gradient at its taps at ``ratio`` times that of the classification's.

    w = ratio * |g_classification| / |g_term|, with g the gradient by the feature maps that the term looks at (L2 norm
    over all of them) and the classification the weighted sum of all terms that look at no feature map. Balancing by
    gradient norms at a shared layer is the idea of GradNorm (Chen et al., ICML 2018); there the weights are learned
    towards training rates, here they follow from the norms. Costs two partial backward passes a step. In a distributed
    run the norms of the processes' own pictures are averaged, which is near the norm of the whole batch, not equal.
    """

    class Config(MeasuredConfig):
        kind: Literal["gradient_norm"] = "gradient_norm"
        ratio: float = Field(default=0.5, gt=0)
        """Norm of the weighted term's gradient over the classification's, with ``weight`` 1."""

    stage = 1
    needs_tap_gradient = True

    def forward(self, name: str, now: Situation) -> Weight:
        if self.training:
            reference = [now.weights[n] * now.terms[n] for n in now.classification if n in now.weights]
            taps = now.taps[name]
            self.see(
                _gradient_norm(now.terms[name], taps), _gradient_norm(torch.stack(reference).sum(), taps), now
            )
        return self.ratio(self.config.ratio)

    def check(self, name: str, weightings: Mapping[str, Weighting], terms: Mapping[str, Any]) -> None:
        """It needs a feature map, and a term to compare with."""
        if not terms[name].taps:
            raise ConfigError(
                f"objective.{name}.weighting gradient_norm compares gradients at the term's feature maps, but the "
                "term looks at none; choose another weighting, for example share."
            )
        if not any(weightings[n].stage < self.stage for n, term in terms.items() if term.guides_nothing):
            raise ConfigError(
                f"objective.{name}.weighting gradient_norm needs a classification term, with a weighting that is "
                "not measured itself, to compare with."
            )


def _gradient_norm(value: torch.Tensor, taps: Sequence[torch.Tensor]) -> torch.Tensor:
    """L2 norm over all taps of d value / d tap; 0 for those that value does not depend on."""
    gradients = torch.autograd.grad(value, list(taps), retain_graph=True, allow_unused=True)
    squares = [gradient.float().square().sum() for gradient in gradients if gradient is not None]
    return torch.stack(squares).sum().sqrt() if squares else value.detach().new_zeros(())


class Uncertainty(Weighting):
    """A learned weight: exp(-s) L + s / 2, with s = log sigma^2 a parameter of the term.

    Source: Kendall, Gal & Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018: L / sigma^2 +
    log sigma, their form for classification, used for every term (for regression they halve the first summand, which
    is a ``weight`` of 0.5). With the base factor w it reads w exp(-s) L + s / 2 and begins at s = 0, which is, up to a
    constant, to begin at s = -log w. At the optimum the weighted term is 1/2, whatever the size of L. So it balances
    sizes, and a term near 0 gets an ever larger weight; s moves at the pace of the learning rate
    (``lr_factors: {"objective": 10}`` quickens it).
    """

    class Config(Config):
        kind: Literal["uncertainty"] = "uncertainty"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.log_variance = nn.Parameter(torch.zeros(()))

    def forward(self, name: str, now: Situation) -> Weight:
        return (-self.log_variance).exp()

    def extra(self) -> torch.Tensor | None:
        return self.log_variance / 2


# A new weighting: one class here or in a file of its own, one line in this table.
WEIGHTINGS = Registry("weighting", Constant, Linear, Cosine, Share, GradientNorm, Uncertainty)

if TYPE_CHECKING:
    AnyWeightingConfig = Any
else:
    AnyWeightingConfig = WEIGHTINGS.settings
