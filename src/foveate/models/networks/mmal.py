"""MMAL-Net: the picture, the object that is found in it and its strongest parts, by one network."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from foveate.core.errors import ConfigError
from foveate.core.rng import torch_seeded
from foveate.models.backbone import Backbone, reason
from foveate.models.layer_names import resolve_tap
from foveate.models.modes import evaluating
from foveate.models.networks.network import Network, NetworkConfig
from foveate.models.networks.object_boxes import Box, cut_out, object_boxes, outlines
from foveate.models.networks.part_windows import part_windows
from foveate.models.output import Output
from foveate.models.taps import capture_taps


class Mmal(Network):
    """One backbone and one layer for three views: raw picture, object (AOLM) and parts of the object (APPM).

    Zhang et al., Multi-branch and Multi-scale Attention Learning for Fine-Grained Visual Categorization, MMM 2021. It
    predicts from the object. In the first epoch the raw picture alone is learned from; no gradient reaches the boxes.
    The authors train with cross-entropy on all three. The strength of a map is the sum of its absolute values over the
    channels: behind a ReLU, as in the paper's ResNet, their sum.
    """

    class Config(NetworkConfig):
        kind: Literal["mmal"] = "mmal"
        windows: Literal["birds", "vehicles"] = "birds"
        """Shapes and numbers of the parts' windows: the authors' for CUB, or for cars and aircraft."""
        part_side: float = Field(default=0.5, gt=0, le=1)
        """Side of a part as the network sees it, as a share of the picture's."""
        dropout: float = Field(default=0.5, ge=0, lt=1)
        """On the features."""

    branches = ("raw", "object", "parts")

    def __init__(self, config: Config, backbone: Backbone, classes: int, seed: int) -> None:
        super().__init__(backbone, classes)
        self.config = config
        self.strong = ("stage:-1", block_before_last(self.backbone))
        self.dropout = nn.Dropout(config.dropout)
        with torch_seeded(seed, "head"):
            self.classifier = nn.Linear(self.num_features, classes)
        self._try_parts()

    def answer(self, images: torch.Tensor) -> Output:
        raw, boxes = self.object_of(images)
        branches = {"raw": raw}
        if self.training and self.progress is not None and self.progress.epoch == 0:
            return Output(raw, branches)
        objects = cut_out(images, boxes, _side(images))
        branches["object"], windows = self.parts_of(objects)
        if self.training:
            branches["parts"] = self.classify(cut_out(objects, windows, self._part_side(images)))
        return Output(branches["object"], branches, whole=raw)

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.dropout(self.features(images)))

    def object_of(self, images: torch.Tensor) -> tuple[torch.Tensor, Box]:
        """(B, 3, H, W) -> logits (B, C) of the whole picture, and the box (B, 4) of the object in it."""
        with capture_taps(self.backbone, self.strong, images) as maps:
            logits = self.classify(images)
        last, before = (_strength(maps[tap]) for tap in self.strong)
        return logits, object_boxes(last, before, _side(images))

    def parts_of(self, objects: torch.Tensor) -> tuple[torch.Tensor, Box]:
        """Objects cut out (B, 3, H, W) -> logits (B, C), and the windows (B, N, 4) of their parts."""
        with capture_taps(self.backbone, self.strong[:1], objects) as maps:
            logits = self.classify(objects)
        return logits, part_windows(_strength(maps[self.strong[0]]), self.config.windows, _side(objects))

    @torch.no_grad()
    def drawings(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """The outline of the object at 1, those of its parts at 0.6."""
        side = _side(images)
        boxes = self.object_of(images)[1]
        windows = self.parts_of(cut_out(images, boxes, side))[1]
        start, end = boxes[:, None, :2], boxes[:, None, 2:]
        share = windows / (windows.new_tensor(side * 2) - 1).clamp(min=1)
        parts = start.repeat(1, 1, 2) + share * (end - start).repeat(1, 1, 2)  # (B, N, 4) in the picture
        drawn = torch.maximum(outlines(boxes, side), 0.6 * outlines(parts.round(), side).amax(dim=1))
        return {"object and parts": drawn}

    def _part_side(self, images: torch.Tensor) -> tuple[int, int]:
        height, width = (max(1, round(length * self.config.part_side)) for length in images.shape[2:])
        return height, width

    def _try_parts(self) -> None:
        side = self._part_side(torch.empty(1, 3, self.input_size, self.input_size))
        try:
            with evaluating(self), torch.no_grad():
                self.features(torch.zeros(1, 3, *side))
        except Exception as error:  # what a network does with pictures that it was not made for
            raise ConfigError(
                f"The backbone {self.card.architecture} cannot take parts of {side[0]} px beside pictures of "
                f"{self.input_size} px ({reason(error)}); set model.network.part_side to 1, or choose another backbone."
            ) from error


def block_before_last(backbone: nn.Module) -> str:
    """The block before the last one; where it cannot be told the last stage but one."""
    path = resolve_tap(backbone, "stage:-1")
    stage = backbone.get_submodule(path)
    if isinstance(inner := getattr(stage, "blocks", None), nn.Sequential):
        path, stage = f"{path}.blocks", inner
    if isinstance(stage, nn.Sequential) and len(stage) > 1 and all(any(block.children()) for block in stage):
        return f"{path}.{len(stage) - 2}"
    parent, _, number = path.rpartition(".")
    if number.isdigit() and int(number) and isinstance(backbone.get_submodule(parent), nn.Sequential):
        return f"{parent}.{int(number) - 1}"
    return "stage:-2"


def _strength(maps: torch.Tensor) -> torch.Tensor:
    """(B, K, h, w) -> (B, h, w)."""
    return maps.detach().abs().sum(dim=1).float()


def _side(images: torch.Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]
