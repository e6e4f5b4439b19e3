"""The ordinary classifier."""

from typing import Any, Literal

import torch

from foveate.models.backbone import Backbone
from foveate.models.heads import build_head
from foveate.models.networks.network import Network, NetworkConfig
from foveate.models.output import Output


class Classifier(Network):
    """A backbone and a head (``model.head``), the network of every ordinary run."""

    class Config(NetworkConfig):
        kind: Literal["classifier"] = "classifier"

    stores_features = True

    def __init__(self, config: Config, backbone: Backbone, classes: int, seed: int) -> None:
        super().__init__(backbone, classes)
        self.head: Any = build_head(self.card.head, self.num_features, classes, seed)

    def answer(self, images: torch.Tensor) -> Output:
        return Output(self.head(self.features(images)))
