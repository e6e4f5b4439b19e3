"""The regularised head of the plant-species report."""

from typing import Any, Literal

import torch
from torch import nn

from foveate.models.heads.head import Head, HeadConfig, Widths


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
