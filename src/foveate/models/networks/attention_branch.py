"""Attention branch network: it weighs its features with a map that it makes by itself, and that people may edit."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from foveate.core.rng import torch_seeded
from foveate.models.backbone import Backbone
from foveate.models.networks.network import Network, NetworkConfig
from foveate.models.output import Output
from foveate.models.taps import edit_tap

LEVEL = "stage:-2"
"""Where the branch begins; its map weighs what the last stage receives."""


class AttentionBranch(Network):
    """A second classifier on the last but one stage makes a map of the picture, and the features are multiplied by it.

    x' = x a + x, where a in (0, 1) is the map. Both classifiers are trained, with cross-entropy on the answer and on
    the branch ``attention``; the answer is that of the whole network. The map is a feature map with the name
    "attention", so that every spatial loss can teach it (``tap: attention``, ``normalise: none``) with masks, among
    them maps that a person has corrected.

    In the paper the branch is a copy of the last stage with stride 1. Not every backbone has a stage that can be
    copied, so two 3 x 3 convolutions stand here in its place.

    Sources: Fukui et al., Attention branch network, CVPR 2019; edited maps: Mitsuhara et al., Embedding human knowledge
    into deep neural network via attention map, 2019.
    """

    class Config(NetworkConfig):
        kind: Literal["attention_branch"] = "attention_branch"
        width: int = Field(default=256, ge=1, le=65_536)
        """Channels of the branch."""
        dropout: float = Field(default=0.2, ge=0, lt=1)
        """Before the last layer of the answer."""

    branches = ("attention",)
    own_maps = ("attention",)

    def __init__(self, config: Config, backbone: Backbone, classes: int, seed: int) -> None:
        super().__init__(backbone, classes)
        channels, width = self.tap_channels(LEVEL), config.width

        def block(before: int, after: int, side: int) -> list[nn.Module]:
            return [
                nn.Conv2d(before, after, side, padding=side // 2, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]

        with torch_seeded(seed, "head"):
            self.shown = nn.Sequential(
                *block(channels, width, 3), *block(width, width, 3), *block(width, classes, 1)
            )
            self.classes = nn.Conv2d(classes, classes, 1)
            self.map = nn.Sequential(
                nn.Conv2d(classes, 1, 3, padding=1, bias=False), nn.BatchNorm2d(1), nn.Sigmoid()
            )
            self.classifier = nn.Linear(self.num_features, classes)
        self.dropout = nn.Dropout(config.dropout)

    def answer(self, images: torch.Tensor) -> Output:
        found: dict[str, torch.Tensor] = {}

        def weighed(features: torch.Tensor) -> torch.Tensor:
            shown = self.shown(features)  # (B, C, h, w)
            found["logits"], found["map"] = self.classes(shown).mean((2, 3)), self.map(shown)
            return features * found["map"] + features

        with edit_tap(self.backbone, LEVEL, images, weighed):
            features = self.features(images)
        logits = self.classifier(self.dropout(features))
        return Output(logits, {"attention": found["logits"]}, {"attention": found["map"]})

    @torch.no_grad()
    def drawings(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """The map."""
        return {"attention": self.answer(images).taps["attention"][:, 0].float()}
