"""Gradients along the straight path from a baseline to the picture: of pixels, and of a feature map.

x(t) = x' + t (x - x'), t from 0 to 1. Steps are grouped so that one pass has at most ``probe.chunk`` pictures.
"""

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.explanation.baselines import Baseline, baselines
from foveate.explanation.explainer import Explainer
from foveate.explanation.gradients import PixelExplainer, groups, sampled_gradients
from foveate.explanation.maps import min_max
from foveate.explanation.probe import Probe


class PathConfig(Explainer.Config):
    """The path."""

    steps: int = Field(default=50, ge=1, le=100_000)
    """Points on the path at which gradients are taken."""
    baseline: Baseline = "mean"
    """Where the path begins: mean, black, white, blurred, noise."""


class IntegratedGradients(PixelExplainer):
    """(x - x') times the mean gradient on the path, by Gauss-Legendre quadrature.

    Completeness: the values of a picture sum to S(x) - S(x'), but for the error of the quadrature.
    Source: Sundararajan et al., ICML 2017 (arXiv 1703.01365).
    """

    class Config(PathConfig):
        """The path."""

    config: Config
    slow = True
    signed = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor | None) -> torch.Tensor:
        start = baselines(probe, images, self.config.baseline)[0].float()
        points, weights = legendre(self.config.steps, images.device)
        way = images.float() - start
        total = torch.zeros_like(way)
        for part in groups(probe, self.config.steps, len(images)):
            found = sampled_gradients(probe, start + points[part].view(-1, 1, 1, 1, 1) * way, targets)
            total += (weights[part].view(-1, 1, 1, 1, 1) * found).sum(dim=0)
            probe.report(part.stop, self.config.steps)
        return way * total


class InternalInfluence(Explainer):
    """The mean of dS/dy on the path, by Gauss-Legendre quadrature; the largest absolute value of a place's channels.

    (Not their sum: before a layer norm it is 0.) Just before a global average and a linear layer dS/dy is the same at
    every place; such a layer is refused. Source: Leino et al., 2018 (arXiv 1802.03788).
    """

    class Config(PathConfig):
        """The path."""

    config: Config
    layered = True
    slow = True

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor | None, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        points, weights = legendre(self.config.steps, images.device)
        means: dict[str, torch.Tensor] = {}
        for part, found in _walk(probe, images, targets, layers, points, self.config.baseline):
            for layer, (_, gradients) in found.items():
                share = (weights[part].view(-1, 1, 1, 1, 1) * gradients).sum(dim=0)
                means[layer] = means[layer] + share if layer in means else share
        maps = {layer: mean.abs().amax(dim=1) for layer, mean in means.items()}
        for layer, found_map in maps.items():
            if not min_max(found_map).any():
                raise ConfigError(
                    f"Internal influence is the same at every place of layer '{layer}', since the network averages "
                    "over it before it decides; name an earlier layer ('middle', 'stage:-2'), or use 'conductance'."
                )
        return maps


class Conductance(Explainer):
    """How much of S(x) - S(x') flows through each place: the sum of dS/dy(t) (y(t + 1/steps) - y(t)).

    The map sums over the channels. Completeness: the map of a layer that everything passes sums to S(x) - S(x'), but
    for the error of the sum. Source: Dhamdhere et al., ICLR 2019 (arXiv 1805.12233).
    """

    class Config(PathConfig):
        """The path."""

    config: Config
    layered = True
    slow = True
    signed = True

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor | None, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        points = torch.linspace(0, 1, self.config.steps + 1, device=images.device)
        maps: dict[str, torch.Tensor] = {}
        last: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for _, found in _walk(probe, images, targets, layers, points, self.config.baseline):
            for layer, (features, gradients) in found.items():
                if layer in last:  # the step from the group before
                    features = torch.cat([last[layer][0], features])
                    gradients = torch.cat([last[layer][1], gradients])
                share = ((features[1:] - features[:-1]) * gradients[:-1]).sum(dim=(0, 2))
                maps[layer] = maps[layer] + share if layer in maps else share
                last[layer] = (features[-1:], gradients[-1:])
        return maps


def legendre(steps: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Points in (0, 1) and weights of sum 1 of the Gauss-Legendre quadrature, (steps,) float32 each."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    pair = ((1 + points) / 2, weights / 2)
    return torch.tensor(pair[0]).float().to(device), torch.tensor(pair[1]).float().to(device)


def _walk(
    probe: Probe,
    images: torch.Tensor,
    targets: torch.Tensor | None,
    layers: tuple[str, ...],
    points: torch.Tensor,
    baseline: Baseline,
) -> Iterator[tuple[slice, dict[str, tuple[torch.Tensor, torch.Tensor]]]]:
    """(which of the points, {layer: (y, dS/dy)}), both (k, B, K, h, w), for each group of k points."""
    start = baselines(probe, images, baseline)[0].float()
    way = images.float() - start
    for part in groups(probe, len(points), len(images)):
        k = part.stop - part.start
        path = (start + points[part].view(-1, 1, 1, 1, 1) * way).flatten(0, 1)
        path = path.to(probe.dtype).contiguous(memory_format=probe.memory_format)
        found = probe.gradients(path, None if targets is None else targets.repeat(k), layers)
        yield (
            part,
            {layer: (y.unflatten(0, (k, -1)), g.unflatten(0, (k, -1))) for layer, (y, g) in found.items()},
        )
        probe.report(part.stop, len(points))
