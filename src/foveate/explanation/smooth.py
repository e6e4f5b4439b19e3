"""Any gradient method on noisy copies of a picture: their mean, mean square, or variance."""

from typing import Literal

import torch
from pydantic import Field

from foveate.explanation.activations import DeconvNet, GuidedBackprop
from foveate.explanation.gradients import Gradient, InputXGradient, PixelExplainer, groups, noisy_copies
from foveate.explanation.paths import IntegratedGradients
from foveate.explanation.probe import Probe

BASES: dict[str, type[PixelExplainer]] = {
    "gradient": Gradient,
    "input_x_gradient": InputXGradient,
    "deconvnet": DeconvNet,
    "guided_backprop": GuidedBackprop,
    "integrated_gradients": IntegratedGradients,
}
"""Methods that can be smoothed, with their default settings."""


class Smoothed(PixelExplainer):
    """Base: values of a gradient method on noisy copies; colour channels are joined afterwards, as the method does."""

    base: Literal["gradient", "input_x_gradient", "deconvnet", "guided_backprop", "integrated_gradients"] = (
        "gradient"
    )
    """The method on each noisy copy."""
    samples: int = Field(default=50, ge=1, le=100_000)
    """Noisy copies of each picture."""
    sigma: float = Field(default=0.15, gt=0)
    """Standard deviation of the noise, as a share of the picture's own range (largest minus smallest value)."""

    slow = True
    signed = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(images.shape, dtype=torch.float64, device=images.device)
        squares = torch.zeros_like(total)
        generator = probe.generator("smoothgrad")
        for part in groups(probe, self.samples, len(images)):
            k = part.stop - part.start
            noisy = noisy_copies(images, self.sigma, k, generator).flatten(0, 1)
            noisy = noisy.to(images.dtype).contiguous(memory_format=probe.memory_format)
            values = BASES[self.base]().attribute(probe, noisy, targets.repeat(k))
            values = values.unflatten(0, (k, -1)).double()
            total += values.sum(dim=0)
            squares += values.square().sum(dim=0)
            probe.report(part.stop, self.samples)
        return self.combine(total / self.samples, squares / self.samples).float()

    def combine(self, mean: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        """Mean and mean square over the copies, (B, 3, H, W) float64 each -> (B, 3, H, W)."""
        raise NotImplementedError

    def join(self, values: torch.Tensor) -> torch.Tensor:
        return BASES[self.base]().join(values)


class SmoothGrad(Smoothed):
    """The mean of a gradient method's signed values over noisy copies.

    Source: Smilkov et al., 2017 (arXiv 1706.03825).
    """

    kind: Literal["smoothgrad"] = "smoothgrad"

    def combine(self, mean: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return mean


class SmoothGradSquared(Smoothed):
    """The mean of the squared values. Source: Hooker et al., NeurIPS 2019 (arXiv 1806.10758)."""

    kind: Literal["smoothgrad_squared"] = "smoothgrad_squared"

    def combine(self, mean: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return square


class VarGrad(Smoothed):
    """The variance of the values, E[M²] - E[M]². Source: Adebayo et al., 2018 (arXiv 1810.03307)."""

    kind: Literal["vargrad"] = "vargrad"

    def combine(self, mean: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return (square - mean.square()).clamp(min=0)
