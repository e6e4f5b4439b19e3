"""Gradients along the straight path from a baseline to the picture: of pixels, and of a feature map.

x(t) = x' + t (x - x'), t from 0 to 1. Steps are grouped so that one pass has at most ``probe.chunk`` pictures.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.explanation.baselines import Baseline, baselines
from foveate.explanation.explainer import Explainer
from foveate.explanation.gradients import PixelExplainer, groups, noisy_copies, sampled_gradients, summed
from foveate.explanation.maps import min_max
from foveate.explanation.probe import Probe


class IntegratedGradients(PixelExplainer):
    """(x - x') times the mean gradient on the path, by Gauss-Legendre quadrature.

    Completeness: the values of a picture sum to S(x) - S(x'), but for the error of the quadrature.
    Source: Sundararajan et al., ICML 2017 (arXiv 1703.01365).
    """

    kind: Literal["integrated_gradients"] = "integrated_gradients"
    steps: int = Field(default=50, ge=1, le=100_000)
    """Points on the path at which gradients are taken."""
    baseline: Baseline = "mean"
    """Where the path begins: mean, black, white, blurred, noise, pictures."""

    slow = True
    signed = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        starts = baselines(probe, images, self.baseline)
        return along_paths(probe, images, targets, starts, *legendre(self.steps, images.device))


class ExpectedGradients(PixelExplainer):
    """Integrated gradients, averaged over paths from other pictures: what sets this picture apart from them.

    As in the paper there is one random point on each path. With ``steps`` of 2 and more each path is integrated by
    quadrature, and from one reference picture the map is that of integrated gradients.
    Source: Erion et al., Nature Machine Intelligence 2021 (arXiv 1906.10670).
    """

    kind: Literal["expected_gradients"] = "expected_gradients"
    samples: int = Field(default=50, ge=1, le=100_000)
    """Paths; each begins at another of the reference pictures, in turn where there are fewer."""
    steps: int = Field(default=1, ge=1, le=10_000)
    """Points on each path; 1: at random."""
    baseline: Baseline = "pictures"
    """Where the paths begin: pictures (those given as references), or noise."""

    slow = True
    signed = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        starts = baselines(probe, images, self.baseline, self.samples)
        points, weights = legendre(self.steps, images.device)
        if self.steps == 1:
            draws = torch.rand(self.samples, 1, generator=probe.generator("expected_gradients"))
            points = draws.to(images.device)
        return along_paths(probe, images, targets, starts, points, weights)


class GradientShap(PixelExplainer):
    """The mean of (x - x') dS/dx at x' + t (x - x'), over random baselines x' and t uniform in [0, 1].

    The expectation of integrated gradients over baselines. Source: Lundberg & Lee, NeurIPS 2017 (arXiv 1705.07874), as
    GradientExplainer in their library.
    """

    kind: Literal["gradient_shap"] = "gradient_shap"
    baseline: Baseline = "noise"
    """Where the paths begin: noise or pictures (another one for each sample), mean, black, white, blurred."""
    samples: int = Field(default=50, ge=1, le=100_000)
    """Gradients for each picture."""
    sigma: float = Field(default=0.0, ge=0)
    """Noise added to the picture, as a share of its range (largest minus smallest value)."""

    slow = True
    signed = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        count = self.samples
        starts = baselines(probe, images, self.baseline, count)
        generator = probe.generator("gradient_shap")
        times = torch.rand(count, generator=generator).to(images.device).view(-1, 1, 1, 1, 1)

        def of(part: slice) -> torch.Tensor:
            way = noisy_copies(images, self.sigma, part.stop - part.start, generator) - starts[part].float()
            return way * sampled_gradients(probe, starts[part] + times[part] * way, targets)

        return summed(probe, images, count, of) / count


def along_paths(
    probe: Probe, images: torch.Tensor, targets: torch.Tensor, starts: torch.Tensor, points: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """Mean over R baselines of (x - x') times the sum of w_s dS/dx at the points t_s, (B, 3, H, W) float32.

    Args:
        starts: (R, B, 3, H, W).
        points: (S,), or (R, S) where each path has its own.
        weights: (S,).
    """
    count, steps = len(starts), len(weights)
    times = points.expand(count, steps).flatten().view(-1, 1, 1, 1, 1)
    shares = weights.repeat(count).view(-1, 1, 1, 1, 1)

    def of(part: slice) -> torch.Tensor:
        begin = starts[torch.arange(part.start, part.stop, device=starts.device) // steps].float()
        way = images.float() - begin
        return way * shares[part] * sampled_gradients(probe, begin + times[part] * way, targets)

    return summed(probe, images, count * steps, of) / count


class _LayerOnPath(Explainer):
    steps: int = Field(default=50, ge=1, le=100_000)
    """Points on the path at which gradients are taken."""
    baseline: Baseline = "mean"
    """Where the path begins: mean, black, white, blurred, noise, pictures."""

    layered = True
    slow = True


class InternalInfluence(_LayerOnPath):
    """The mean of dS/dy on the path, by Gauss-Legendre quadrature; the largest absolute value of a place's channels.

    (Not their sum: before a layer norm it is 0.) Just before a global average and a linear layer dS/dy is the same at
    every place; such a layer is refused. Source: Leino et al., 2018 (arXiv 1802.03788).
    """

    kind: Literal["internal_influence"] = "internal_influence"

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        points, weights = legendre(self.steps, images.device)
        means: dict[str, torch.Tensor] = {}
        for part, found in _walk(probe, images, targets, layers, points, self.baseline):
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


class Conductance(_LayerOnPath):
    """How much of S(x) - S(x') flows through each place: the sum of dS/dy(t) (y(t + 1/steps) - y(t)).

    The map sums over the channels. Completeness: the map of a layer that everything passes sums to S(x) - S(x'), but
    for the error of the sum. Source: Dhamdhere et al., ICLR 2019 (arXiv 1805.12233).
    """

    kind: Literal["conductance"] = "conductance"
    signed = True

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        points = torch.linspace(0, 1, self.steps + 1, device=images.device)
        maps: dict[str, torch.Tensor] = {}
        last: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for _, found in _walk(probe, images, targets, layers, points, self.baseline):
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
    probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...], points: torch.Tensor,
    baseline: Baseline,
) -> Iterator[tuple[slice, dict[str, tuple[torch.Tensor, torch.Tensor]]]]:  # fmt: skip
    """(which of the points, {layer: (y, dS/dy)}), both (k, B, K, h, w), for each group of k points."""
    start = baselines(probe, images, baseline)[0].float()
    way = images.float() - start
    for part in groups(probe, len(points), len(images)):
        k = part.stop - part.start
        path = (start + points[part].view(-1, 1, 1, 1, 1) * way).flatten(0, 1)
        path = path.to(probe.dtype).contiguous(memory_format=probe.memory_format)
        found = probe.gradients(path, targets.repeat(k), layers)
        yield (
            part,
            {layer: (y.unflatten(0, (k, -1)), g.unflatten(0, (k, -1))) for layer, (y, g) in found.items()},
        )
        probe.report(part.stop, len(points))
