"""Cut-out: a network that sees nothing but the object, in training and in prediction alike."""

import copy
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.core.rng import torch_seeded
from foveate.models.backbone import Backbone
from foveate.models.networks.network import Network, NetworkConfig
from foveate.models.output import Output
from foveate.models.places import place_features, spread_stages


class CutOut(Network):
    """What is more likely background than object is set to the mean colour, before the backbone sees it.

    Where the object is says a linear layer on the feature maps of a second backbone, a copy of the first as it was in
    the beginning, which never changes. The layer learns from masks with any spatial loss on the map "object" (logits:
    ``{kind: spatial_bce, tap: object, normalise: sigmoid}``); the classification teaches it nothing. So new pictures
    need no masks, and a changed background is cut off by a mask that was found on the changed picture. The map begins
    with everything being object. A picture in which nothing is object is blank to the backbone.
    """

    class Config(NetworkConfig):
        kind: Literal["cut_out"] = "cut_out"
        dropout: float = Field(default=0.2, ge=0, lt=1)
        """Before the last layer."""

    own_maps = ("object",)

    def __init__(self, config: Config, backbone: Backbone, classes: int, seed: int) -> None:
        super().__init__(backbone, classes)
        self.segmenter = Segmenter(
            self.backbone, 3 + sum(map(self.tap_channels, spread_stages(self.backbone)))
        )
        with torch_seeded(seed, "head"):
            self.classifier = nn.Linear(self.num_features, classes)
        self.dropout = nn.Dropout(config.dropout)

    def answer(self, images: torch.Tensor) -> Output:
        likely = self.segmenter(images)
        shown = F.interpolate(likely.detach(), images.shape[2:], mode="bilinear", align_corners=False) >= 0
        features = self.features(images * shown)
        return Output(self.classifier(self.dropout(features)), taps={"object": likely})

    @torch.no_grad()
    def drawings(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """How likely each place is object."""
        return {"object": self.segmenter(images)[:, 0].float().sigmoid()}


class Segmenter(nn.Module):
    """A linear layer on the maps of a backbone that stays as it is."""

    def __init__(self, backbone: nn.Module, channels: int) -> None:
        """channels: F of ``place_features``."""
        super().__init__()
        self.looks: Any = constant(copy.deepcopy(backbone))
        self.scale = nn.BatchNorm2d(channels, affine=False)
        self.layer = nn.Conv2d(channels, 1, 1)
        nn.init.zeros_(self.layer.weight)
        nn.init.constant_(self.layer.bias, 1.0)  # type: ignore[arg-type]

    def train(self, mode: bool = True) -> "Segmenter":
        """The backbone stays in evaluation mode."""
        super().train(mode)
        self.looks.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> logits (B, 1, H / 4, W / 4), of the places' feature maps and mean colour."""
        found: torch.Tensor = self.layer(self.scale(place_features(self.looks, images)))
        return found


def constant(module: nn.Module) -> nn.Module:
    """``module`` in evaluation mode, its parameters made buffers: nothing that trains parameters finds them."""
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            del part._parameters[name]
            part.register_buffer(name, None if parameter is None else parameter.detach().clone())
    return module.eval()
