"""CAL: attention maps are trained by what they change in the answer."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.core.rng import torch_seeded
from foveate.models.backbone import Backbone
from foveate.models.networks.network import Network, NetworkConfig
from foveate.models.networks.object_boxes import Box, cut_out
from foveate.models.output import Output
from foveate.models.second_derivatives import directions

SCALE = 100.0
"""Of the attended features before the linear layer."""
CROPS = ((0.3, 0.1), (0.2, 0.1), (0.1, 0.05))
"""(share of the strongest, padding) of the three crops that ``test_crops`` adds."""


class Cal(Network):
    """Counterfactual attention learning (Rao et al., ICCV 2021): the answer must be better than with random attention.

    Attention maps pool the last feature map. ``effect`` is the answer minus that to random maps, of the picture, of a
    crop around one of its maps and of the picture without what another one marks; ``crops`` are the answers to these
    two. It predicts from the picture alone. The authors train with cross-entropy of weight 1/3 on ``raw``, 1 on
    ``effect`` and 2/3 on ``crops``, and with the loss ``centre`` on ``attended``.
    """

    class Config(NetworkConfig):
        kind: Literal["cal"] = "cal"
        maps: int = Field(default=32, ge=1, le=1024)
        """Attention maps."""
        test_crops: bool = False
        """Predict by the mean of the answers to the picture and to three crops around the mean map: four passes."""

    branches = ("raw", "effect", "crops", "attended")

    def __init__(self, config: Config, backbone: Backbone, classes: int, seed: int) -> None:
        super().__init__(backbone, classes)
        self.config = config
        channels = self.map_channels()
        self.vectors = {"attended": config.maps * channels}
        with torch_seeded(seed, "head"):
            self.attention = nn.Sequential(
                nn.Conv2d(channels, config.maps, 1, bias=False),
                nn.BatchNorm2d(config.maps, eps=0.001),
                nn.ReLU(),
            )
            self.classifier = nn.Linear(self.vectors["attended"], classes, bias=False)

    def answer(self, images: torch.Tensor) -> Output:
        raw, effect, vectors, attention = self.attend(images)
        if not self.training:
            answers, mean = [raw], attention.mean(dim=1)
            for share, padding in CROPS if self.config.test_crops else ():
                crops = cut_out(images, marked_boxes(mean, share, padding, images), images.shape[2:])
                answers.append(self.attend(crops)[0])
            logits = torch.stack(answers).mean(dim=0)
            return Output(logits, {"raw": raw, "effect": effect, "attended": vectors}, whole=raw)
        again, again_effect, _, _ = self.attend(self.changed(images, attention.detach()))
        effects = torch.cat([effect[:, None], again_effect.unflatten(0, (-1, 2))], dim=1).flatten(0, 1)
        return Output(raw, {"raw": raw, "effect": effects, "crops": again, "attended": vectors})

    def attend(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, 3, H, W) -> logits (B, C), effect (B, C), attended features (B, M K), attention (B, M, h, w)."""
        maps = self.last_map(images)
        attention = self.attention(maps)
        other = 2 * torch.rand_like(attention) if self.training else torch.ones_like(attention)
        vectors = pooled(maps, attention)
        logits, counterfactual = (self.classifier(SCALE * v) for v in (vectors, pooled(maps, other)))
        return logits, logits - counterfactual, vectors, attention

    @torch.no_grad()
    def drawings(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """The mean of the attention maps, its largest value 1."""
        mean = self.attention(self.last_map(images)).mean(dim=1)
        return {"attention": mean / mean.amax((1, 2), keepdim=True).clamp(min=1e-12)}

    @torch.no_grad()
    def changed(self, images: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) and (B, M, h, w) -> (2 B, 3, H, W): a crop around a drawn map, the picture without another."""
        count = len(images)
        total = attention.float().sum((2, 3))
        chosen = torch.multinomial((total + 1e-12).sqrt(), 2, replacement=True)  # (B, 2)
        crop, drop = attention[torch.arange(count, device=images.device)[:, None], chosen].unbind(dim=1)
        shares = torch.rand(2, count, 1, 1, device=images.device)
        boxes = marked_boxes(crop, 0.4 + 0.2 * shares[0], 0.1, images)
        hidden = marked(drop, 0.2 + 0.3 * shares[1], images) & (drop.amax((1, 2)) > 0)[:, None, None]
        kept = images * ~hidden[:, None]
        return torch.stack([cut_out(images, boxes, images.shape[2:]), kept], dim=1).flatten(0, 1)


def pooled(maps: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """(B, K, h, w) and (B, M, h, w) -> (B, M K), of length 1: means of products, square roots that keep the sign."""
    means = torch.einsum("bmhw,bkhw->bmk", attention, maps).flatten(1) / maps[0, 0].numel()
    return directions(means.sign() * (means.abs() + 1e-6).sqrt())


def marked(attention: torch.Tensor, share: torch.Tensor | float, images: torch.Tensor) -> torch.Tensor:
    """(B, h, w) -> (B, H, W) bool: where the enlarged map has at least ``share`` of its largest value."""
    large = F.interpolate(attention[:, None], images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return large >= share * large.amax((1, 2), keepdim=True)


def marked_boxes(
    attention: torch.Tensor, share: torch.Tensor | float, padding: float, images: torch.Tensor
) -> Box:
    """(B, h, w) -> (B, 4): boxes around what is marked, wider on each side by ``padding`` of the picture's."""
    inside = marked(attention, share, images)
    ends = []
    for axis, length in ((2, images.shape[2]), (1, images.shape[3])):
        line = inside.any(dim=axis).int()
        first, last = line.argmax(dim=1), length - 1 - line.flip(1).argmax(dim=1)
        wider = int(padding * length)
        ends.append(((first - wider).clamp(min=0), (last + wider).clamp(max=length - 1)))
    (top, bottom), (left, right) = ends
    return torch.stack([top, left, bottom, right], dim=1).float()
