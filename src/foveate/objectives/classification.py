"""Classification losses: cross-entropy, focal loss, ArcFace, Huber loss on probabilities, centre loss.

All accept hard targets (B,) int64 and mixed targets (B, C) float.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.heads import CosineHead
from foveate.models.output import Output
from foveate.objectives.term import Context, ModuleTerm, Progress, Term, TermConfig

ClassWeights = Literal["none", "frequency"] | dict[str, float]


def class_weights(setting: ClassWeights, context: Context) -> torch.Tensor | None:
    """(C,) weights, or None when all are equal.

    "frequency": N / (C * n_c), scikit-learn's "balanced"; a class without training pictures gets 1.
    A dictionary names classes and their weights; the others get 1.

    Raises:
        ConfigError: a named class does not exist.
    """
    if setting == "none":
        return None
    if setting == "frequency":
        counts = torch.tensor(list(context.counts), dtype=torch.float32)
        weights = counts.sum() / (len(counts) * counts.clamp(min=1))
        return torch.where(counts > 0, weights, torch.ones_like(weights))
    unknown = sorted(set(setting) - set(context.classes))
    if unknown:
        raise ConfigError(
            f"class_weights names {unknown}, which are not among the classes {list(context.classes)}."
        )
    return torch.tensor([float(setting.get(name, 1.0)) for name in context.classes])


def one_hot(targets: torch.Tensor, classes: int) -> torch.Tensor:
    """(B, C) float from (B,) int64; mixed targets pass through."""
    return targets if targets.is_floating_point() else F.one_hot(targets, classes).float()


class CrossEntropy(Term):
    """Softmax cross-entropy, averaged over the batch (torch.nn.functional.cross_entropy)."""

    class Config(TermConfig):
        kind: Literal["cross_entropy"] = "cross_entropy"
        label_smoothing: float = Field(default=0.0, ge=0, lt=1)
        """Share of the target spread evenly over all classes, in [0, 1)."""
        class_weights: ClassWeights = "none"
        """"none", "frequency" (N / (C n_c)), or {class name: weight}."""

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.class_weights = class_weights(config.class_weights, context)

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        logits = output.logits.float()
        weights = None if self.class_weights is None else self.class_weights.to(logits)
        return F.cross_entropy(
            logits, batch.targets, weight=weights, label_smoothing=self.config.label_smoothing
        )


class Focal(Term):
    """Focal loss, FL = -alpha_c (1 - p_t)^gamma log p_t, mean over the batch.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, here over a softmax. gamma = 0 is
    cross-entropy with weights alpha, divided by the batch size (not by the sum of the weights).
    """

    class Config(TermConfig):
        kind: Literal["focal"] = "focal"
        gamma: float = Field(default=2.0, ge=0, le=100)
        """How strongly easy pictures are faded out; 0 = cross-entropy."""
        class_weights: ClassWeights = "none"
        """alpha_c: "none", "frequency", or {class name: weight}."""

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.alpha = class_weights(config.class_weights, context)

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        log_p = output.logits.float().log_softmax(dim=1)
        loss = -((1 - log_p.exp()) ** self.config.gamma) * log_p  # (B, C)
        if self.alpha is not None:
            loss = loss * self.alpha.to(loss)
        return (loss * one_hot(batch.targets, loss.shape[1])).sum(dim=1).mean()


class ArcFace(ModuleTerm):
    """Cross-entropy after the angle to the picture's own class was widened by ``margin`` (Deng et al., CVPR 2019).

    Of the logits s cos(theta) of the head ``cosine``: s cos(min(theta + margin, pi)) for its own class; of a mixed
    picture each class's margin is its share. In evaluation no margin is added.
    """

    class Config(TermConfig):
        kind: Literal["arcface"] = "arcface"
        margin: float = Field(default=0.5, ge=0, le=1.5)
        """Radians."""

    def __init__(self, config: Config, context: Context) -> None:
        """Raises ConfigError: the head does not compare directions."""
        if not isinstance(context.head, CosineHead):
            raise ConfigError("The loss 'arcface' needs angles; set model.head.kind to 'cosine'.")
        super().__init__(config, context)
        self.scale = context.head.scale

    def forward(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        logits = output.logits.float()
        if self.training:
            # A little inside of -1 and 1, where the slope of the angle is infinite.
            angles = (logits / self.scale).clamp(-1 + 1e-6, 1 - 1e-6).acos()
            margins = self.config.margin * one_hot(batch.targets, logits.shape[1])
            widened = self.scale * (angles + margins).clamp(max=math.pi).cos()
            logits = torch.where(margins > 0, widened, logits)
        return F.cross_entropy(logits, batch.targets)


class Huber(Term):
    """Huber loss between the softmax probabilities and the one-hot target, mean over pictures and classes."""

    class Config(TermConfig):
        kind: Literal["huber"] = "huber"
        delta: float = Field(default=1.0, gt=0)
        """Where the quadratic part ends; differences of probabilities never exceed 1."""

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        probabilities = output.logits.float().softmax(dim=1)
        return F.huber_loss(
            probabilities, one_hot(batch.targets, probabilities.shape[1]), delta=self.config.delta
        )


class Centre(ModuleTerm):
    """Squared distance of a picture's vector to the centre of its class, mean over the batch (Wen et al., ECCV 2016).

    After each training step a centre moves by ``rate`` of the mean difference to the vectors of its class, and by no
    gradient. The centres begin at 0 and are part of the checkpoint. A mixed picture's
    centre is mixed of those of its classes.
    """

    class Config(TermConfig):
        kind: Literal["centre"] = "centre"
        rate: float = Field(default=0.05, ge=0, le=1)

    centres: torch.Tensor

    def __init__(self, config: Config, context: Context) -> None:
        """Raises ConfigError: what the loss is on are no vectors."""
        super().__init__(config, context)
        vectors: dict[str, int] = getattr(context.network, "vectors", {})
        if config.on not in vectors:
            known = f"set 'on' to {', '.join(vectors)}" if vectors else "the network 'cal' has some"
            raise ConfigError(
                f"The loss 'centre' needs a branch of vectors, which '{config.on}' is not; {known}."
            )
        self.register_buffer("centres", torch.zeros(len(context.classes), vectors[config.on]))

    def forward(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        vectors = output.logits.float()  # (B, D)
        shares = one_hot(batch.targets, len(self.centres)).to(vectors)  # (B, C)
        loss = (vectors - shares @ self.centres).square().sum(dim=1).mean()
        if self.training:
            with torch.no_grad():
                seen = self.total(torch.cat([shares.T @ vectors, shares.sum(dim=0)[:, None]], dim=1))
                weight = seen[:, -1:]
                moved = seen[:, :-1] - weight * self.centres
                self.centres += self.config.rate * moved / weight.clamp(min=1)
        return loss


class HeadPenalty(Term):
    """The regularisation that the head brings along (L1/L2 on kernel, bias and activity; see ``models.heads``)."""

    class Config(TermConfig):
        kind: Literal["head_penalty"] = "head_penalty"

    def __init__(self, config: Config, context: Context) -> None:
        if context.head is None or context.head.penalty() is None:
            raise ConfigError("The term head_penalty needs a head with a penalty; choose the head 'mlp'.")
        super().__init__(config, context)
        self.head = context.head

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        penalty = self.head.penalty()
        assert penalty is not None
        return penalty
