"""Networks that pool the last feature map in another way than by its mean."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from foveate.core.rng import torch_seeded
from foveate.models.backbone import Backbone
from foveate.models.networks.network import Network, NetworkConfig
from foveate.models.output import Output
from foveate.models.second_derivatives import directions


class Bilinear(Network):
    """Compact bilinear pooling (Gao et al., CVPR 2016): products of all pairs of channels, hashed into ``size`` sums.

    The tensor sketch of the paper: channel i has two bins and two signs, and the product of i and j goes to bin
    (h_i + g_j) mod size with the sign s_i t_j. Its inner products come near those of all the products. Square roots
    that keep the sign, length 1 and one linear layer follow.
    """

    class Config(NetworkConfig):
        kind: Literal["bilinear"] = "bilinear"
        size: int = Field(default=8192, ge=2, le=1_000_000)
        """Sums; the paper takes 8192 for 512 channels."""
        dropout: float = Field(default=0.2, ge=0, lt=1)

    bins: torch.Tensor
    signs: torch.Tensor

    def __init__(self, config: Config, backbone: Backbone, classes: int, seed: int) -> None:
        super().__init__(backbone, classes)
        self.size, channels = config.size, self.map_channels()
        with torch_seeded(seed, "sketch"):
            (h, g), (s, t) = (
                torch.randint(config.size, (2, channels)),
                torch.randint(2, (2, channels)) * 2 - 1,
            )
        self.register_buffer("bins", ((h[:, None] + g) % config.size).flatten())
        self.register_buffer("signs", (s[:, None] * t).flatten().float())
        self.dropout = nn.Dropout(config.dropout)
        with torch_seeded(seed, "head"):
            self.classifier = nn.Linear(config.size, classes)

    def answer(self, images: torch.Tensor) -> Output:
        return Output(self.classifier(self.dropout(self.pooled(self.last_map(images)))))

    def pooled(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, K, h, w) -> (B, size)."""
        places = maps.flatten(2)
        products = (places @ places.transpose(1, 2)).to(self.signs).flatten(1) / places.shape[2]  # (B, K K)
        sums = products.new_zeros(maps.shape[0], self.size).scatter_add(
            1, self.bins.expand_as(products), products * self.signs
        )
        return directions(sums.sign() * (sums.abs() + 1e-6).sqrt())


class Attention(Network):
    """A few attention maps, each a 1x1 convolution and a softmax over the places, say which places the mean is of."""

    class Config(NetworkConfig):
        kind: Literal["attention"] = "attention"
        maps: int = Field(default=4, ge=1, le=256)
        """Each has its own mean; the linear layer sees them all."""
        dropout: float = Field(default=0.2, ge=0, lt=1)

    def __init__(self, config: Config, backbone: Backbone, classes: int, seed: int) -> None:
        super().__init__(backbone, classes)
        channels = self.map_channels()
        self.dropout = nn.Dropout(config.dropout)
        with torch_seeded(seed, "head"):
            self.attention = nn.Conv2d(channels, config.maps, 1)
            self.classifier = nn.Linear(config.maps * channels, classes)

    def answer(self, images: torch.Tensor) -> Output:
        return Output(self.classifier(self.dropout(self.pooled(self.last_map(images)))))

    def pooled(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, K, h, w) -> (B, M K)."""
        weights = self.attention(maps).flatten(2).softmax(dim=2)  # (B, M, h w)
        return (weights @ maps.flatten(2).transpose(1, 2)).flatten(1)
