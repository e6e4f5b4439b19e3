"""DeepLIFT: what each pixel's difference from a baseline adds to the difference of the score.

Activations pass back (f(x) - f(x')) / (x - x') in place of f'(x) (the rescale rule), and max-pooling passes what the
cross maximum of both pools gives; everything else is linear or taken as linear at x. So the values of a picture sum to
S(x) - S(x') in networks of convolutions, linear layers, activations and pools. Where features are multiplied with each
other (squeeze-and-excitation, attention, layer norm) the sum is approximate.
"""

from typing import Any, Literal

import torch
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.explanation.activations import ELEMENTWISE, MAX_POOLS, Function, Replacing
from foveate.explanation.baselines import Baseline, baselines
from foveate.explanation.gradients import PixelExplainer, pixel_gradients, summed
from foveate.explanation.probe import Probe

NEAR = 1e-9
"""Where x and x' are nearer than this, the gradient stands for the quotient of the differences."""


class DeepLift(PixelExplainer):
    """(x - x') times the rescaled multipliers. Source: Shrikumar et al., ICML 2017 (arXiv 1704.02685)."""

    kind: Literal["deeplift"] = "deeplift"
    baseline: Baseline = "mean"
    """What is compared with: mean, black, white, blurred, noise, pictures."""

    signed = True
    predicts = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return deeplift(probe, images, baselines(probe, images, self.baseline)[0], targets)


class DeepLiftShap(PixelExplainer):
    """The mean of DeepLIFT over baselines drawn at random. Source: Lundberg & Lee, NeurIPS 2017 (arXiv 1705.07874)."""

    kind: Literal["deeplift_shap"] = "deeplift_shap"
    baseline: Baseline = "noise"
    """What is compared with: noise, pictures; mean, black, white and blurred are one each, which is DeepLIFT."""
    samples: int = Field(default=8, ge=1, le=10_000)
    """Baselines."""

    slow = True
    signed = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        count = self.samples if self.baseline in ("noise", "pictures") else 1
        starts = baselines(probe, images, self.baseline, count)

        def of(part: slice) -> torch.Tensor:
            k = part.stop - part.start
            found = deeplift(probe, images.repeat(k, 1, 1, 1), starts[part].flatten(0, 1), targets.repeat(k))
            return found.unflatten(0, (k, -1))

        return summed(probe, images, count, of) / count


def deeplift(probe: Probe, images: torch.Tensor, start: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Contributions (B, 3, H, W) float32 of images against ``start``, both (B, 3, H, W), to the logits of ``targets``.

    One pass forward for the baselines, one forward and backward for the pictures.

    Raises:
        ConfigError: the network computes other steps for the picture than for the baseline.
    """
    images, start = (x.contiguous(memory_format=probe.memory_format) for x in (images, start))
    seen: list[torch.Tensor] = []

    def keep(values: torch.Tensor, plain: Function, func: Any) -> torch.Tensor:
        seen.append(values.clone())  # a copy: the network may go on in place
        return plain(values)

    functions = ELEMENTWISE | MAX_POOLS
    with torch.no_grad(), Replacing(functions, keep):
        probe.logits(start.clone())
    others = iter(seen)

    def rescale(values: torch.Tensor, plain: Function, func: Any) -> torch.Tensor:
        other = next(others, None)
        if other is None or other.shape != values.shape:
            raise ConfigError(
                f"{type(probe.model).__name__} computes other steps for a picture than for the baseline, so DeepLIFT "
                "has nothing to compare; use 'integrated_gradients'."
            )
        return _Rule.apply(values, other, plain, func in MAX_POOLS)

    with Replacing(functions, rescale):
        return (images.float() - start.float()) * pixel_gradients(probe, images, targets)


class _Rule(torch.autograd.Function):
    """f(x) forwards; backwards the multipliers with respect to x' in place of the gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, other: torch.Tensor, plain: Function, pool: bool) -> torch.Tensor:
        ctx.pool = (x.clone(), other, plain) if pool else None
        if pool:
            return plain(x)
        ctx.slope, result = _slope(x, other, plain)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        if ctx.pool:
            x, other, plain = ctx.pool
            return _through_pool(x, other, plain, gradients[0]), None, None, None
        return gradients[0] * ctx.slope, None, None, None


def _slope(x: torch.Tensor, other: torch.Tensor, plain: Function) -> tuple[torch.Tensor, torch.Tensor]:
    """((f(x) - f(x')) / (x - x'), or f'(x) where they meet; f(x))."""
    # Quotients of small differences need more digits than the network has: in float32 they are noise up to 1e-3.
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    far, start = x.to(wide), other.to(wide)
    difference = far - start
    near = difference.abs() < NEAR
    slope = (plain(far) - plain(start)) / torch.where(near, 1.0, difference)
    if near.any():
        with torch.enable_grad():
            leaf = far.requires_grad_()
            local = torch.autograd.grad(plain(leaf).sum(), leaf)[0]
        slope = torch.where(near, local, slope)
    return slope.to(x.dtype), plain(x)


def _through_pool(
    x: torch.Tensor, other: torch.Tensor, plain: Function, gradient: torch.Tensor
) -> torch.Tensor:
    """Multipliers of a max-pool's input: with m the larger of both results, what x adds above x' (m - f(x')) goes to
    x's own maximum, what it lacks (f(x) - m) to the place of the maximum of x'."""
    with torch.enable_grad():
        leaf, other_leaf = x.detach().requires_grad_(), other.detach().requires_grad_()
        result, other_result = plain(leaf), plain(other_leaf)
        most = torch.maximum(result, other_result).detach()
        above, below = gradient * (most - other_result), gradient * (result - most)
        local = torch.autograd.grad(result, leaf, gradient, retain_graph=True)[0]
        passed = torch.autograd.grad(result, leaf, above.detach())[0]
        passed = passed + torch.autograd.grad(other_result, other_leaf, below.detach())[0]
    difference = x - other
    near = difference.abs() < NEAR
    return torch.where(near, local, passed / torch.where(near, 1.0, difference))
