"""Any gradient method on noisy copies of a picture: their mean, mean square, or variance."""

from typing import Literal

import torch
from pydantic import Field

from foveate.explanation.explainer import Explainer
from foveate.explanation.gradients import Gradient, InputXGradient, PixelExplainer, groups
from foveate.explanation.modified import DeconvNet, GuidedBackprop
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


class SmoothGrad(PixelExplainer):
    """The mean of the base's signed values over noisy copies; colour channels are joined afterwards, as the base does.

    Source: Smilkov et al., 2017 (arXiv 1706.03825).
    """

    class Config(Explainer.Config):
        """The noise and what is smoothed."""

        base: Literal[
            "gradient", "input_x_gradient", "deconvnet", "guided_backprop", "integrated_gradients"
        ] = "gradient"
        """The method on each noisy copy."""
        samples: int = Field(default=50, ge=1, le=100_000)
        """Noisy copies of each picture."""
        sigma: float = Field(default=0.15, gt=0)
        """Standard deviation of the noise, as a share of the picture's own range (largest minus smallest value)."""

    config: Config
    slow = True
    signed = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor | None) -> torch.Tensor:
        base, count, pictures = self._base(), self.config.samples, len(images)
        spread = images.float().amax(dim=(1, 2, 3)) - images.float().amin(dim=(1, 2, 3))
        sigma = (self.config.sigma * spread)[:, None, None, None]
        total = torch.zeros(images.shape, dtype=torch.float64, device=images.device)
        squares = torch.zeros_like(total)
        generator = probe.generator("smoothgrad")
        for part in groups(probe, count, pictures):
            k = part.stop - part.start
            # One draw after the other, so that the noise does not depend on how many fit into one pass.
            noise = torch.stack([torch.randn(images.shape[1:], generator=generator) for _ in range(k)])
            noisy = images.float() + sigma * noise.to(images.device)[:, None]  # (k, B, 3, H, W)
            flat = noisy.flatten(0, 1).to(images.dtype).contiguous(memory_format=probe.memory_format)
            classes = None if targets is None else targets.repeat(k)
            values = base.attribute(probe, flat, classes).unflatten(0, (k, pictures)).double()
            total += values.sum(dim=0)
            squares += values.square().sum(dim=0)
            probe.report(part.stop, count)
        return self.combine(total / count, squares / count).float()

    def combine(self, mean: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        """Mean and mean square over the copies, (B, 3, H, W) float64 each -> (B, 3, H, W)."""
        return mean

    def join(self, values: torch.Tensor) -> torch.Tensor:
        return self._base().join(values)

    def _base(self) -> PixelExplainer:
        return BASES[self.config.base]()


class SmoothGradSquared(SmoothGrad):
    """The mean of the squared values. Source: Hooker et al., NeurIPS 2019 (arXiv 1806.10758)."""

    def combine(self, mean: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return square


class VarGrad(SmoothGrad):
    """The variance of the values, E[M²] - E[M]². Source: Adebayo et al., 2018 (arXiv 1810.03307)."""

    def combine(self, mean: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return (square - mean.square()).clamp(min=0)
