"""Heads: what turns the backbone's features (B, F) into logits (B, C)."""

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from foveate.core.config import Config
from foveate.core.errors import ConfigError
from foveate.core.rng import torch_seeded


class HeadConfig(Config):
    """Which head, and how wide."""

    name: str = "linear"
    """A key of HEADS: "linear", "deep" or "mlp"."""
    widths: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] | None = Field(default=None, max_length=16)
    """Units of the hidden layers, in order; None: the head's own ("deep" 640, 320; "mlp" 1024)."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Share of features set to zero in training; None: the head's own (0.2, 0.2, 0.3)."""


class Head(nn.Module):
    """Base: dropout, linear, ReLU for each width, then dropout and a linear layer to the classes."""

    default_widths: ClassVar[tuple[int, ...]] = ()
    default_dropout: ClassVar[float] = 0.2

    def __init__(
        self, features: int, classes: int, widths: tuple[int, ...] | None = None, dropout: float | None = None
    ) -> None:
        super().__init__()
        widths = self.default_widths if widths is None else widths
        rate = self.default_dropout if dropout is None else dropout
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Dropout(rate), nn.Linear(features, width), nn.ReLU()]
            features = width
        self.hidden = nn.Sequential(*layers)
        self.dropout = nn.Dropout(rate)
        self.classifier = nn.Linear(features, classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features: (B, F) -> logits (B, C)."""
        return self.classifier(self.dropout(self.hidden(features)))

    regularised = False
    """Whether ``penalty`` is more than zero."""

    def penalty(self) -> torch.Tensor:
        """Scalar that the objective adds to the loss; zero for a head without regularisation."""
        return self.classifier.weight.new_zeros(())


class LinearHead(Head):
    """Dropout 0.2, then one linear layer (the "shallow" head of the 15-Scene report)."""


class DeepHead(Head):
    """Dropout 0.2 before each of three linear layers (640, 320, C), ReLU (15-Scene report's "deep" head)."""

    default_widths = (640, 320)


class MlpHead(Head):
    """The head of the plant-species report: dropout 0.3, 1024 units, ReLU, linear; regularised.

    Weights start He-uniform (hidden) and Glorot-uniform (last), biases at zero, as in Keras.

        penalty = 1e-5 Σ|W| + 1e-4 ΣW² + 1e-4 Σb² + 1e-4 Σh² / B      over the hidden layers

    W, b: their weights and biases; h: (B, width) their outputs after ReLU in the last training-mode forward
    pass (Keras 2, which the report used, divides the activity term by the batch size).
    """

    regularised = True
    default_widths = (1024,)
    default_dropout = 0.3
    l1, l2 = 1e-5, 1e-4

    def __init__(
        self, features: int, classes: int, widths: tuple[int, ...] | None = None, dropout: float | None = None
    ) -> None:
        super().__init__(features, classes, widths, dropout)
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


HEADS: dict[str, type[Head]] = {"linear": LinearHead, "deep": DeepHead, "mlp": MlpHead}


def build_head(config: HeadConfig, features: int, classes: int, seed: int) -> Head:
    """A head F -> C whose weights depend on ``seed`` and the widths only, not on random draws made before.

    Raises:
        ConfigError: no head of this name, or widths for a head that has no hidden layers.
    """
    if config.name not in HEADS:
        raise ConfigError(f"There is no head {config.name!r}; choose one of {', '.join(HEADS)}.")
    if config.name == "linear" and config.widths:
        raise ConfigError(
            f"The linear head has no hidden layers for widths {list(config.widths)}; use 'deep' or 'mlp'."
        )
    with torch_seeded(seed, "head"):
        return HEADS[config.name](features, classes, config.widths, config.dropout)
