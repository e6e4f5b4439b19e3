"""A head that compares directions."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.models.heads.head import Head, HeadConfig


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
