"""The base of networks: what a run trains, a backbone and whatever makes logits of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import nn

from foveate.core.config import Config
from foveate.core.progress import Progress
from foveate.models.backbone import Backbone, features
from foveate.models.feature_maps import to_map
from foveate.models.heads.head import Head
from foveate.models.modes import evaluating
from foveate.models.output import Output
from foveate.models.second_derivatives import unfused_attention
from foveate.models.taps import capture_taps


class NetworkConfig(Config):
    """Base of the settings of a network; each adds its own and its ``kind``."""


class Network(nn.Module):
    """Base: a network has a ``Config``, is built from (config, backbone, classes, seed), and has ``answer``.

    Modules beside ``backbone`` are the network's own: they learn in every phase, their optimizer group is "head", they
    are in weights files under their own names, and their random weights may hang on ``seed`` alone (``torch_seeded``).

    Attributes:
        backbone: timm's network without classifier.
        head: features (B, F) -> logits (B, C), of networks that have one (from ``models.heads``).
        mean, std: (3,) in [0, 1] units; they move with the network and are kept in the card, not among the weights.
        input_size: side of the pictures in px that it was built for.
        num_features: F.
        card: everything needed to build this network again.
        module_order: forward order of the backbone's modules (see ``models.backbone``).
        notes: automatic choices, in sentences for the user.
        progress: where training stands, set before each training step; None before the first, and in prediction.
    """

    Config: ClassVar[type[NetworkConfig]]
    stores_features: ClassVar[bool] = False
    """Whether its logits are ``head(features(images))`` and nothing else, so that a frozen backbone may run once for
    each picture and the head be trained on what it gave."""
    branches: tuple[str, ...] = ()
    """Names of ``Output.branches`` that it gives in training."""
    own_maps: ClassVar[tuple[str, ...]] = ()
    """Names of maps that it makes beside the backbone, in ``Output.taps`` of every answer; they may be tapped."""
    vectors: dict[str, int]
    """{branch: length} of those that are vectors of pictures instead of logits."""
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        card = backbone.card.model_copy(update={"classes": classes})
        assert card.input_size is not None
        assert card.features is not None
        self.backbone: Any = backbone.module
        self.head: Head | None = None
        self.card, self.module_order, self.notes = card, backbone.order, backbone.notes
        self.feature_mode, self.input_size, self.num_features = (
            card.feature_mode,
            card.input_size[1],
            card.features,
        )
        self.progress: Progress | None = None
        self.vectors = {}
        self.register_buffer("mean", torch.tensor(card.mean), persistent=False)
        self.register_buffer("std", torch.tensor(card.std), persistent=False)

    def answer(self, images: torch.Tensor) -> Output:
        """What the network says of pictures (B, 3, H, W), normalised; ``forward`` adds the taps.

        The backbone runs on the whole pictures first, since taps and edits are of the first call of a module. Where
        further passes (over crops) follow, ``Output.whole`` are the logits that belong to the first. In training mode
        it gives ``branches``, those that ``progress`` makes sensible; in evaluation those that cost nothing more. Every
        picture has an answer, a blank one too.
        """
        raise NotImplementedError

    def forward(
        self, images: torch.Tensor, taps: Sequence[str] = (), *, differentiable: bool = False
    ) -> Output:
        """images: (B, 3, H, W), normalised. taps: names as in ``foveate.models.layer_names``.

        ``differentiable``: logits can be differentiated with respect to the taps, also through frozen layers, and the
        result once more (see ``models.second_derivatives``).

        Raises:
            ConfigError: a tap is unknown or yields no map of the picture.
        """
        with unfused_attention(differentiable):
            inside = [tap for tap in taps if tap not in self.own_maps]
            if not inside:
                output, maps = self.answer(images), {}
            else:
                with capture_taps(self.backbone, inside, images, require_grad=differentiable) as maps:
                    output = self.answer(images)
            return replace(output, taps={name: (output.taps | maps)[name] for name in taps})

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, F): the backbone's, as a head receives them."""
        return features(self.backbone, self.feature_mode, images)

    def drawings(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """(B, 3, H, W) -> {name: (B, h, w) in [0, 1]}: where it looks by itself, to be laid over the pictures
        in reports."""
        return {}

    def last_map(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, K, h, w): what the backbone makes of pictures before it pools."""
        return to_map(self.backbone, "", self.backbone.forward_features(images), images)

    def map_channels(self) -> int:
        """K of ``last_map``, from one pass over a blank picture."""
        images = torch.zeros(1, 3, self.input_size, self.input_size, device=self.mean.device)
        with evaluating(self), torch.no_grad():
            return self.last_map(images).shape[1]

    def tap_channels(self, tap: str) -> int:
        """K of a feature map (B, K, h, w), from one pass of the backbone over a blank picture.

        Raises:
            ConfigError: the tap is unknown or yields no map of the picture.
        """
        images = torch.zeros(1, 3, self.input_size, self.input_size, device=self.mean.device)
        with evaluating(self), torch.no_grad():
            if tap in self.own_maps:
                return self.answer(images).taps[tap].shape[1]
            with capture_taps(self.backbone, [tap], images) as maps:
                self.features(images)
        return maps[tap].shape[1]
