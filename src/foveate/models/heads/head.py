"""Heads turn the backbone's features (B, F) into logits (B, C): their base, and linear layers, one or several."""

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from foveate.core.config import Config

Widths = Annotated[tuple[Annotated[int, Field(ge=1, le=65_536)], ...], Field(max_length=16)]
"""Units of hidden layers, in order."""


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
