"""Is the map faithful: does the prediction depend on the places that it names. No mask is needed.

found = faithfulness(model, images, targets, {"gradcam": maps, "random map": noise})   # {name: {score: (B,)}}

Every score asks the network about changed pictures. Forward passes are shared: one pass serves all scores that ask
about the same picture, and what does not depend on the map (the unchanged picture, the filled one, infidelity's holes)
is computed once for all maps. A batch holds the same step of all its pictures, so memory does not grow with the steps.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torchvision.transforms.functional import gaussian_blur

from foveate.core import torchvision_guard  # noqa: F401
from foveate.core.config import Config
from foveate.core.rng import key, numpy_generator
from foveate.explanation.baselines import baselines
from foveate.explanation.imputation import impute
from foveate.explanation.maps import MapScore, upsample
from foveate.explanation.probe import Probe
from foveate.models.modes import untouched

FAITHFULNESS: tuple[MapScore, ...] = (
    MapScore("deletion", "deletion AUC", "lower"),
    MapScore("insertion", "insertion AUC"),
    MapScore("flipping", "pixel flipping", span=None),
    MapScore("road", "ROAD", span=(-1.0, 1.0)),
    MapScore("drop", "average drop", "lower"),
    MapScore("increase", "increase"),
    MapScore("infidelity", "infidelity", "lower"),
)
"""The scores, in the order of tables."""


class FaithfulnessConfig(Config):
    """Settings of the scores."""

    fill: Literal["blur", "black", "mean"] = "blur"
    """What stands where pixels are removed: the picture blurred, black, or the mean colour of the training pictures
    (0 after normalisation)."""
    steps: int = Field(default=16, ge=2, le=1000)
    """Equal steps in which deletion, insertion and flipping go through the picture."""
    road: tuple[float, ...] = Field(default=(0.2, 0.4, 0.6, 0.8), min_length=1)
    """Shares of the picture that ROAD removes."""
    road_noise: float = Field(default=0.01, ge=0)
    """Standard deviation of the noise on ROAD's filled pixels, in units of the normalised picture."""
    holes: int = Field(default=24, ge=2, le=10_000)
    """Infidelity: random squares that are cut out of each picture, one at a time; their sides are 1/6 to 1/2 of it."""
    scores: tuple[str, ...] = tuple(score.name for score in FAITHFULNESS)
    """Which to compute."""
    seed: int = 0


def faithfulness(
    model: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    maps: Mapping[str, torch.Tensor],
    config: FaithfulnessConfig | None = None,
) -> dict[str, dict[str, torch.Tensor]]:
    """{name of maps: {score: (B,) float32}}. p is the probability of the target class, S its logit.

    - deletion: area under p (trapezoids) while pixels are replaced by the fill, the highest first. insertion: the same
      while they are put into the fill. Petsiuk et al., RISE, BMVC 2018.
    - flipping: mean over the steps of deletion, 0 included, of S(picture) - S(changed): the area over the perturbation
      curve. Samek et al., IEEE TNNLS 2017; Bach et al., 2015.
    - road: mean over shares of (p without the lowest - p without the highest) / 2, removed pixels being imputed from
      their neighbours. Rong et al., ICML 2022.
    - drop: max(0, p - p(picture x map)) / p. increase: whether p(picture x map) > p. Chattopadhay et al., WACV 2018;
      the normalised picture is multiplied, so that where the map is 0 the mean colour is left.
    - infidelity: mean of (b sum(map in hole) - (S(picture) - S(with hole)))² over random holes, with the b that makes
      it smallest (a map has no unit), as a share of the mean of (S(picture) - S(with hole))²: 0 = the map foretells
      what every hole does. Yeh et al., NeurIPS 2019.

    Pixels of equal height come in a random order, the same for every map. A constant map has NaN everywhere.

    Args:
        images: (B, 3, H, W) normalised.
        targets: (B,) int64.
        maps: each (B, h, w).

    Raises:
        ConfigError: black is wanted, and the network does not say how its pictures are normalised.
    """
    config = config or FaithfulnessConfig()
    probe = Probe(model, seed=config.seed)
    with untouched(model), torch.no_grad():
        images = probe.place(images)
        asked = _Asked(probe, images, targets.to(probe.device), config)
        size = (images.shape[2], images.shape[3])
        return {name: asked.scores(upsample(found.to(images.device), size)) for name, found in maps.items()}


def filled(probe: Probe, images: torch.Tensor, fill: Literal["blur", "black", "mean"]) -> torch.Tensor:
    """What replaces the pixels of (B, 3, H, W): "blur" (Gaussian, standard deviation 1/20 of the side), "black" or
    "mean"."""
    if fill != "blur":
        return baselines(probe, images, fill)[0]
    sigma = max(images.shape[2:]) / 20
    # The kernel may not be wider than the picture that is reflected at its edges.
    kernel = min(2 * round(3 * sigma) + 1, *(2 * ((side - 1) // 2) + 1 for side in images.shape[2:]))
    blurred: torch.Tensor = gaussian_blur(images, [kernel, kernel], [sigma, sigma])
    return blurred


class _Asked:
    """What the network says of changed versions of B pictures; what serves all maps is computed once."""

    def __init__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, config: FaithfulnessConfig
    ) -> None:
        self.probe, self.images, self.targets, self.config = probe, images, targets, config
        height, width = images.shape[2:]
        self.pixels = height * width
        self.fill = filled(probe, images, config.fill)
        self.whole, self.nothing = self.ask(images), self.ask(self.fill)
        order = torch.Generator().manual_seed(key(config.seed, "order of ties"))
        self.shuffle = torch.randperm(self.pixels, generator=order).to(images.device)
        noise = torch.Generator().manual_seed(key(config.seed, "road noise"))
        self.noise = torch.randn(1, 3, height, width, generator=noise).to(self.fill) * config.road_noise
        count = config.holes if "infidelity" in config.scores else 0
        self.holes = _squares(count, height, width, config.seed).to(images.device)
        self.falls = [
            self.whole[1] - self.ask(torch.where(hole, self.fill, images))[1] for hole in self.holes
        ]

    def ask(self, changed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """p and S of the target, (B,) each."""
        logits = torch.cat([self.probe.logits(changed[part]) for part in self.probe.chunks(len(changed))])
        chosen = self.targets[:, None]
        return logits.softmax(dim=1).gather(1, chosen)[:, 0], logits.gather(1, chosen)[:, 0]

    def scores(self, maps: torch.Tensor) -> dict[str, torch.Tensor]:
        """{score: (B,)} of maps (B, H, W)."""
        flat, steps, wanted = maps.flatten(1), self.config.steps, set(self.config.scores)
        varies = flat.amax(dim=1) > flat.amin(dim=1)
        ranks = _ranks(flat, self.shuffle).view_as(maps)[:, None]  # (B, 1, H, W), 0 = highest
        found: dict[str, torch.Tensor] = {}
        if wanted & {"deletion", "flipping"}:
            p, s = self._curve(ranks, self.images, self.fill, self.whole, self.nothing)
            found["deletion"] = torch.trapezoid(p, dx=1 / steps, dim=1)
            found["flipping"] = (s[:, :1] - s).mean(dim=1)
        if "insertion" in wanted:
            p, _ = self._curve(ranks, self.fill, self.images, self.nothing, self.whole)
            found["insertion"] = torch.trapezoid(p, dx=1 / steps, dim=1)
        if "road" in wanted:
            found["road"] = self._road(ranks)
        if wanted & {"drop", "increase"}:
            p, _ = self.ask(self.images * maps[:, None].to(self.images.dtype))
            found["drop"] = (self.whole[0] - p).clamp(min=0) / self.whole[0]
            found["increase"] = (p > self.whole[0]).float()
        if "infidelity" in wanted:
            told = torch.stack([(maps * hole).sum(dim=(1, 2)) for hole in self.holes], dim=1)
            found["infidelity"] = _unexplained(told, torch.stack(self.falls, dim=1))
        return {
            score.name: torch.where(varies, found[score.name].float(), torch.nan)
            for score in FAITHFULNESS
            if score.name in wanted
        }

    def _curve(
        self, ranks: torch.Tensor, before: torch.Tensor, after: torch.Tensor, *ends: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        """p and S, (B, steps + 1) each, as more and more of the highest pixels go from ``before`` to ``after``, of
        which the answers are known."""
        steps = self.config.steps
        counts = [round(step * self.pixels / steps) for step in range(1, steps)]
        between = [self.ask(torch.where(ranks < count, after, before)) for count in counts]
        return tuple(torch.stack(values, dim=1) for values in zip(ends[0], *between, ends[1], strict=True))

    def _road(self, ranks: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(len(ranks), device=ranks.device)
        for share in self.config.road:
            count = round(share * self.pixels)
            for sign, missing in ((-1, ranks < count), (1, ranks >= self.pixels - count)):
                imputed = impute(self.images, missing[:, 0]) + self.noise * missing
                total += sign * self.ask(self.probe.place(imputed))[0]
        return total / (2 * len(self.config.road))


def _squares(count: int, height: int, width: int, seed: int) -> torch.Tensor:
    """(count, H, W) bool: random squares inside the picture."""
    rng = numpy_generator(seed, "holes")
    found = torch.zeros(count, height, width, dtype=torch.bool)
    for hole in found:
        side = rng.uniform(1 / 6, 1 / 2)
        h, w = max(1, round(side * height)), max(1, round(side * width))
        y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
        hole[y : y + h, x : x + w] = True
    return found


def _ranks(flat: torch.Tensor, shuffle: torch.Tensor) -> torch.Tensor:
    """(B, N) int64: place of each pixel from the highest on; ties in the order of ``shuffle`` (N,)."""
    order = shuffle[flat[:, shuffle].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(flat.shape[1], device=flat.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def _unexplained(told: torch.Tensor, falls: torch.Tensor) -> torch.Tensor:
    """min over b of mean((b told - falls)²) / mean(falls²) over dim 1; NaN where no hole changed anything."""
    told, falls = told.double(), falls.double()
    energy = falls.square().mean(dim=1)
    square = told.square().mean(dim=1)
    explained = (told * falls).mean(dim=1).square() / square
    return 1 - torch.where(square > 0, explained, 0.0) / energy


def sensitivity_max(
    explain: Callable[..., torch.Tensor],
    images: torch.Tensor,
    *targets: torch.Tensor,
    radius: float = 0.02,
    draws: int = 4,
    seed: int = 0,
    maps: torch.Tensor | None = None,
) -> torch.Tensor:
    """(B,): how far a map can move when its picture hardly does: max over draws of |map(x + d) - map(x)| / |map(x)|.

    Each pixel of d is uniform in [-radius, radius] of the normalised picture. Source: Yeh et al., NeurIPS 2019. NaN
    where the map is zero.

    Args:
        explain: (images (B, 3, H, W), *targets) -> maps (B, h, w).
        maps: explain(images, *targets), where it is known already.
    """
    before = (explain(images, *targets) if maps is None else maps).flatten(1)
    generator = torch.Generator().manual_seed(key(seed, "sensitivity"))
    largest = torch.zeros(len(images), device=before.device)
    for _ in range(draws):
        moved = (torch.rand(1, *images.shape[1:], generator=generator) * 2 - 1) * radius
        distance = (explain(images + moved.to(images), *targets).flatten(1) - before).norm(dim=1)
        largest = torch.maximum(largest, distance)
    size = before.norm(dim=1)
    return torch.where(size > 0, largest / size, torch.nan)
