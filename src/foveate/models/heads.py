"""Heads: what turns the backbone's features (B, F) into logits (B, C)."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field
from torch import nn

from foveate.core.config import Config
from foveate.core.registry import Registry, by_kind
from foveate.core.rng import torch_seeded


class HeadConfig(Config):
    """Settings that every head has; each adds its own and its ``kind``."""

    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Share of features set to zero in training; None: the head's own."""


class Head(nn.Module):
    """Base: dropout, linear, ReLU for each width, then dropout and a linear layer to the classes."""

    Config: ClassVar[type[HeadConfig]]
    default_widths: ClassVar[tuple[int, ...]] = ()
    default_dropout: ClassVar[float] = 0.2

    def __init__(self, config: Any, features: int, classes: int) -> None:
        super().__init__()
        rate = self.default_dropout if config.dropout is None else config.dropout
        layers: list[nn.Module] = []
        for width in self.widths(config):
            layers += [nn.Dropout(rate), nn.Linear(features, width), nn.ReLU()]
            features = width
        self.hidden = nn.Sequential(*layers)
        self.dropout = nn.Dropout(rate)
        self.classifier = nn.Linear(features, classes)

    @classmethod
    def widths(cls, config: Any) -> tuple[int, ...]:
        """Units of the hidden layers, in order."""
        given: tuple[int, ...] | None = getattr(config, "widths", None)
        return cls.default_widths if given is None else given

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features: (B, F) -> logits (B, C)."""
        return self.classifier(self.dropout(self.hidden(features)))

    def penalty(self) -> torch.Tensor | None:
        """Scalar that the objective adds to the loss; None for a head without regularisation."""
        return None


Widths = Annotated[tuple[Annotated[int, Field(ge=1, le=65_536)], ...], Field(max_length=16)]


class LinearHead(Head):
    """Dropout 0.2, then one linear layer (the "shallow" head of the 15-Scene report)."""

    class Config(HeadConfig):
        kind: Literal["linear"] = "linear"
        widths: None = None
        """It has no hidden layers."""


class DeepHead(Head):
    """Dropout 0.2 before each of three linear layers (640, 320, C), ReLU (15-Scene report's "deep" head)."""

    class Config(HeadConfig):
        kind: Literal["deep"] = "deep"
        widths: Widths | None = None
        """Units of the hidden layers, in order; None: 640, 320."""

    default_widths = (640, 320)


class MlpHead(Head):
    """The head of the plant-species report: dropout 0.3, 1024 units, ReLU, linear; regularised.

    Weights start He-uniform (hidden) and Glorot-uniform (last), biases at zero, as in Keras.

        penalty = 1e-5 Σ|W| + 1e-4 ΣW² + 1e-4 Σb² + 1e-4 Σh² / B      over the hidden layers

    W, b: their weights and biases; h: (B, width) their outputs after ReLU in the last training-mode forward
    pass (Keras 2, which the report used, divides the activity term by the batch size).
    """

    class Config(HeadConfig):
        kind: Literal["mlp"] = "mlp"
        widths: Widths | None = None
        """Units of the hidden layers, in order; None: 1024."""

    default_widths = (1024,)
    default_dropout = 0.3
    l1, l2 = 1e-5, 1e-4

    def __init__(self, config: Any, features: int, classes: int) -> None:
        super().__init__(config, features, classes)
        self._activity: torch.Tensor | None = None
        for layer in self.hidden:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        nn.init.xavier_uniform_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features: (B, F) -> logits (B, C); in training mode the activity is kept for ``penalty``."""
        activity = features.new_zeros((), dtype=torch.float32)
        hidden = features
        for layer in self.hidden:
            hidden = layer(hidden)
            if isinstance(layer, nn.ReLU):
                activity = activity + hidden.float().square().sum() / len(hidden)
        self._activity = activity if self.training else None
        return self.classifier(self.dropout(hidden))

    def penalty(self) -> torch.Tensor:
        """See the class; without a training-mode forward pass before it the activity term is left out."""
        total = self.classifier.weight.new_zeros(())
        for layer in self.hidden:
            if isinstance(layer, nn.Linear):
                total = total + self.l1 * layer.weight.abs().sum() + self.l2 * layer.weight.square().sum()
                total = total + self.l2 * layer.bias.square().sum()
        return total if self._activity is None else total + self.l2 * self._activity

    def __getstate__(self) -> dict[str, Any]:
        # The kept activity belongs to one step's graph: a copy (EMA, a worker) cannot hold it.
        return {**self.__dict__, "_activity": None}


class CosineHead(Head):
    """Logits = scale * cosine of the angle between the features and a class's weights; no bias.

    Lengths say nothing, so that a class with many pictures cannot win by long weights. Source: Gidaris & Komodakis,
    Dynamic few-shot visual learning without forgetting, CVPR 2018.
    """

    class Config(HeadConfig):
        kind: Literal["cosine"] = "cosine"
        scale: float = Field(default=16.0, gt=0)
        """Largest logit; with C classes a probability of p needs at least ln(p (C - 1) / (1 - p)) / 2."""

    def __init__(self, config: Any, features: int, classes: int) -> None:
        super().__init__(config, features, classes)
        self.scale = config.scale
        self.classifier = nn.Linear(features, classes, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features: (B, F) -> logits (B, C) in [-scale, scale]."""
        directions = F.normalize(self.dropout(features), dim=1)
        return self.scale * F.linear(directions, F.normalize(self.classifier.weight, dim=1))


HEADS = Registry("head", LinearHead, DeepHead, MlpHead, CosineHead, formerly="name")


def _current(value: Any) -> Any:
    """A head by its kind alone, and as it was written in files of earlier versions."""
    value = by_kind(value)
    if isinstance(value, dict) and "name" in value and "kind" not in value:
        return {"kind": value["name"], **{name: part for name, part in value.items() if name != "name"}}
    return {"kind": "linear", **value} if isinstance(value, dict) else value


if TYPE_CHECKING:
    AnyHeadConfig = Any
else:
    AnyHeadConfig = Annotated[HEADS.settings, BeforeValidator(_current)]


def build_head(config: Any, features: int, classes: int, seed: int) -> Head:
    """A head F -> C whose weights depend on ``seed`` and its settings only, not on random draws made before."""
    with torch_seeded(seed, "head"):
        head: Head = HEADS.build(config, features, classes)
    return head
