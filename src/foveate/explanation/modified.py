"""Gradients with another rule at rectifiers: DeconvNet, guided backpropagation, Guided Grad-CAM.

They see edges that pass the rectifiers, and hardly the class: they fail the sanity checks of Adebayo et al., NeurIPS
2018 (arXiv 1810.03292). Only ReLU, ReLU6 and hardtanh from 0 have a rule; in networks that also have other activations
(MobileNetV3) those keep their gradient. A network without any rectifier is refused: the result would be the plain
gradient under another name.
"""

from typing import Any, ClassVar, Literal

import torch

from foveate.core.errors import ConfigError
from foveate.explanation.activations import Function, Rectifying
from foveate.explanation.explainer import Explainer
from foveate.explanation.gradients import LargestOfColours, pixel_gradients
from foveate.explanation.maps import grad_cam, upsample
from foveate.explanation.probe import Probe


class _PositiveBackwards(torch.autograd.Function):
    """A rectifier; backwards R becomes R 1[R > 0], and if ``guided`` also 0 where the rectifier was shut."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, plain: Function, guided: bool) -> torch.Tensor:
        result = plain(values)
        # Open where the rectifier passes its input on: above 0, and below the limit of ReLU6.
        ctx.gate = (result > 0) & (result == values) if guided else None
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        positive = gradients[0].clamp(min=0)
        return positive if ctx.gate is None else positive * ctx.gate, None, None


class _OtherRectifiers(LargestOfColours):
    guided: ClassVar[bool]

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        def rule(values: torch.Tensor, plain: Function, func: Any) -> torch.Tensor:
            return _PositiveBackwards.apply(values, plain, self.guided)

        with Rectifying(rule) as rectifiers:
            values = pixel_gradients(probe, images, targets)
        if rectifiers.calls == 0:
            raise ConfigError(
                f"{type(probe.backbone).__name__} has no ReLU (its activations are others, GELU or SiLU perhaps), so "
                f"{type(self).__name__} would be the plain gradient; use method 'gradient' or 'smoothgrad'."
            )
        return values


class DeconvNet(_OtherRectifiers):
    """Backwards each ReLU passes R 1[R > 0], whatever its input was; max-pooling uses its switches.

    Source: Zeiler & Fergus, ECCV 2014 (arXiv 1311.2901).
    """

    kind: Literal["deconvnet"] = "deconvnet"
    guided = False


class GuidedBackprop(_OtherRectifiers):
    """Backwards each ReLU passes R 1[R > 0] 1[x > 0]. Source: Springenberg et al., 2014 (arXiv 1412.6806)."""

    kind: Literal["guided_backprop"] = "guided_backprop"
    guided = True


class GuidedGradCam(Explainer):
    """Grad-CAM of the layer, upsampled, times the guided gradients; the largest absolute value of a pixel's channels.

    Source: Selvaraju et al., ICCV 2017.
    """

    kind: Literal["guided_gradcam"] = "guided_gradcam"
    layered = True
    predicts = True

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        edges = GuidedBackprop().map(probe, images, targets)  # (B, H, W)
        found = probe.gradients(images, targets, layers)
        size = (images.shape[2], images.shape[3])
        return {layer: upsample(grad_cam(*pair), size) * edges for layer, pair in found.items()}
