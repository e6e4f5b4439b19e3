"""FBSD: the strongest stripe of a map is weakened before the next stage, so that this has to look elsewhere."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from foveate.core.errors import ConfigError
from foveate.core.rng import torch_seeded
from foveate.models.backbone import Backbone
from foveate.models.networks.network import Network, NetworkConfig
from foveate.models.output import Output
from foveate.models.second_derivatives import directions
from foveate.models.taps import edit_tap

Share = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=100)]
Bands = Annotated[int, Field(ge=1, le=1024)]
LEVELS = ("stage:-3", "stage:-2", "stage:-1")


class Fbsd(Network):
    """Feature boosting, suppression and diversification at the last three stages of the backbone.

    Song & Yang, Feature Boosting, Suppression, and Diversification for Fine-Grained Visual Classification, IJCNN 2021.
    A level's map is boosted and answers for itself; weakened where it is strongest, it is what the next stage
    receives. Each level's features take up what they lack from the other two. It predicts by the sum of the four
    logits. The authors train with cross-entropy of weight 2 on each level and 1 on ``concat``.

    The defaults are the authors' code but for ``complement``: theirs is 0.001, with which diversification does next to
    nothing. The paper's text has ``similarity`` "inner" and ``pool`` 0.
    """

    class Config(NetworkConfig):
        kind: Literal["fbsd"] = "fbsd"
        stripes: tuple[Bands, Bands, Bands] = (8, 4, 2)
        """Bands of rows at the three levels. Where the rows do not divide evenly, the upper bands have one row more;
        of fewer rows than bands each is a band."""
        boost: Strength = 0.5
        """alpha: how much of its weight is added to a band."""
        suppress: Share = 0.5
        """beta: what is left of the strongest band."""
        diversify: Strength = 1.0
        """gamma: how much of the other levels' maps is added."""
        complement: Strength = 1.0
        """Scale of what one level takes from another; the authors' code has 0.001."""
        similarity: Literal["cosine", "inner"] = "cosine"
        """Of two places: the cosine of their features (code), or their inner product (paper)."""
        pool: int = Field(default=5, ge=0, le=10_000)
        """A map becomes the mean of so many largest values a channel; 0: of all (paper)."""
        width: int = Field(default=1024, ge=2, le=65_536, multiple_of=2)
        """Channels of a level's features; half as many in its hidden layers."""
        dropout: float = Field(default=0.0, ge=0, lt=1)
        """On a level's features, before they are diversified."""

    branches = ("level1", "level2", "level3", "concat")

    def __init__(self, config: Config, backbone: Backbone, classes: int, seed: int) -> None:
        super().__init__(backbone, classes)
        self.config = config
        channels = [self.tap_channels(level) for level in LEVELS]
        with torch_seeded(seed, "head"):
            self.boosting = nn.ModuleList(
                Boosting(count, stripes, config.boost, config.suppress)
                for count, stripes in zip(channels, config.stripes, strict=True)
            )
            self.parts = nn.ModuleList(
                part_features(count, config.width, config.dropout) for count in channels
            )
            self.classifiers = nn.ModuleList(
                part_classifier(width, config.width // 2, classes)
                for width in [config.width] * len(LEVELS) + [config.width * len(LEVELS)]
            )

    def answer(self, images: torch.Tensor) -> Output:
        if self.training and len(images) < 2:
            raise ConfigError(
                "The network 'fbsd' cannot learn from a batch of one picture, since its batch norms would see one "
                "value a channel; set training.batch_size to 2 or more."
            )
        parts: list[torch.Tensor] = []

        def between(level: int) -> Callable[[torch.Tensor], torch.Tensor]:
            def weakened(maps: torch.Tensor) -> torch.Tensor:
                boosted, suppressed = self.boosting[level](maps)
                parts.append(self.parts[level](boosted))
                if level == len(LEVELS) - 1 and not torch.compiler.is_exporting():
                    raise _Enough
                return suppressed

            return weakened

        # What some backbones have behind the last stage (EfficientNet's last convolution) is for a head alone.
        with ExitStack() as stack, suppress(_Enough):
            for number, level in enumerate(LEVELS):
                stack.enter_context(edit_tap(self.backbone, level, images, between(number)))
            self.features(images)
        scale = self.config.diversify * self.config.complement
        pooled = [
            top_mean(level, self.config.pool) for level in diversified(parts, scale, self.config.similarity)
        ]
        pooled.append(torch.cat(pooled, dim=1))
        given = [classify(vector) for classify, vector in zip(self.classifiers, pooled, strict=True)]
        return Output(torch.stack(given).sum(dim=0), dict(zip(self.branches, given, strict=True)))


class _Enough(Exception):
    """The last level has answered."""


class Boosting(nn.Module):
    """The weights of a map's bands, and what follows from them."""

    def __init__(self, channels: int, stripes: int, boost: float, suppress: float) -> None:
        super().__init__()
        self.stripes, self.boost, self.suppress = stripes, boost, suppress
        self.conv, self.norm = nn.Conv2d(channels, 1, 1), nn.BatchNorm2d(1)

    def forward(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, K, h, w) -> boosted, suppressed (B, K, h, w); where bands tie for the strongest all are weakened."""
        bands = self.conv(maps).tensor_split(min(self.stripes, maps.shape[2]), dim=2)
        strength = torch.stack([self.norm(band).relu().mean((1, 2, 3)) for band in bands], dim=1)
        weights = strength.softmax(dim=1)  # (B, k)
        kept = torch.where(weights == weights.amax(dim=1, keepdim=True), self.suppress, 1.0)
        band_of = [k for k, band in enumerate(bands) for _ in range(band.shape[2])]
        rows = torch.tensor(band_of, device=maps.device)

        def by_row(of_bands: torch.Tensor) -> torch.Tensor:
            return of_bands.index_select(1, rows)[:, None, :, None].to(maps)  # (B, 1, h, 1)

        return maps + self.boost * by_row(weights) * maps, by_row(kept) * maps


def part_features(channels: int, width: int, dropout: float) -> nn.Sequential:
    """(B, K, h, w) -> (B, width, h, w): a level's own features."""

    def block(before: int, after: int, side: int) -> list[nn.Module]:
        conv = nn.Conv2d(before, after, side, padding=side // 2, bias=False)
        return [conv, nn.BatchNorm2d(after, momentum=0.01), nn.ReLU()]

    return nn.Sequential(*block(channels, width // 2, 1), *block(width // 2, width, 3), nn.Dropout(dropout))


def part_classifier(features: int, hidden: int, classes: int) -> nn.Sequential:
    """(B, features) -> (B, C)."""
    return nn.Sequential(
        nn.BatchNorm1d(features), nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ELU(),
        nn.Linear(hidden, classes),
    )  # fmt: skip


def diversified(
    maps: Sequence[torch.Tensor], scale: float, similarity: Literal["cosine", "inner"]
) -> list[torch.Tensor]:
    """Each of the maps (B, F, h, w) plus ``scale`` times what is least like it in each of the others.

    What a place takes from another map is the mean of its places, weighted by the softmax of minus the similarity.
    """
    places = [level.flatten(2) for level in maps]  # (B, F, S)
    compared = [directions(level) for level in places] if similarity == "cosine" else places
    added = [torch.zeros_like(level) for level in places]
    for p in range(len(maps)):
        for q in range(p + 1, len(maps)):
            unlike = -(compared[p].transpose(1, 2) @ compared[q])  # (B, S_p, S_q)
            added[q] = added[q] + places[p] @ unlike.softmax(dim=1)
            added[p] = added[p] + places[q] @ unlike.transpose(1, 2).softmax(dim=1)
    return [level + scale * complement.view_as(level) for level, complement in zip(maps, added, strict=True)]


def top_mean(maps: torch.Tensor, count: int) -> torch.Tensor:
    """(B, F, h, w) -> (B, F): the mean of the ``count`` largest places (0: of all)."""
    places = maps.flatten(2)
    return places.topk(min(count, places.shape[2]), dim=2).values.mean(dim=2) if count else places.mean(dim=2)
