"""Class activation maps from one forward and one backward pass: Grad-CAM and its kin.

A is the feature map of the layer, (B, K, h, w); g = dS/dA for the logit S of the class.
"""

from typing import Any, Literal

import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.explanation.explainer import Explainer
from foveate.explanation.maps import grad_cam
from foveate.explanation.probe import Probe
from foveate.models.heads import Head, LinearHead


class _GradientCam(Explainer):
    """Base: from (A, g) to a map."""

    layered = True
    predicts = True

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        found = probe.gradients(images, targets, layers)
        return {layer: self.combine(*pair) for layer, pair in found.items()}

    def combine(self, features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """A and g, (B, K, h, w) float32 -> (B, h, w)."""
        raise NotImplementedError


class GradCam(_GradientCam):
    """Grad-CAM: ReLU(sum_k a_k A^k), a_k = mean over places of g. Source: Selvaraju et al., ICCV 2017."""

    kind: Literal["gradcam"] = "gradcam"

    def combine(self, features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        return grad_cam(features, gradients)


class Cam(Explainer):
    """CAM: sum_k W[c, k] A^k for logits W mean(A) + b; signed. Source: Zhou et al., CVPR 2016."""

    kind: Literal["cam"] = "cam"
    layered = True

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        found = probe.gradients(images, targets, layers)
        linear = _classifier(probe.model)
        for layer, (_, gradient) in found.items():
            k, h, w = gradient.shape[1:]
            fits = linear is not None and k == linear.weight.shape[1]
            if linear is not None and fits:
                own = linear.weight.detach().float()[targets]  # (B, K)
                expected = own[:, :, None, None].expand_as(gradient)
                largest = float(own.abs().max())
                fits = torch.allclose(gradient * h * w, expected, rtol=1e-2, atol=1e-3 * largest)
            if not fits:
                raise ConfigError(
                    f"CAM needs logits that are one linear layer on the mean of layer '{layer}', which this network "
                    "does not have; take gradcam, which equals it there and works everywhere."
                )
        return {
            layer: (gradient.sum(dim=(2, 3), keepdim=True) * features).sum(dim=1)
            for layer, (features, gradient) in found.items()
        }


def _classifier(model: nn.Module) -> nn.Linear | None:
    """The one linear layer from pooled features to logits; None where there is more."""
    head: Any = getattr(model, "head", None)
    if isinstance(head, Head):
        return head.classifier if isinstance(head, LinearHead) else None
    get = getattr(model, "get_classifier", None)
    found = get() if get else None
    return found if isinstance(found, nn.Linear) else None


class GradCamPlusPlus(_GradientCam):
    """Grad-CAM++: a_k = sum over places of w ReLU(g), w = g² / (2 g² + g³ sum A + 1e-6), 0 where g = 0.

    The exponential of the paper's score cancels out. Source: Chattopadhay et al., WACV 2018.
    """

    kind: Literal["gradcam++"] = "gradcam++"

    def combine(self, features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        squared = gradients.square()
        total = features.sum(dim=(2, 3), keepdim=True)
        share = squared / (2 * squared + total * squared * gradients + 1e-6)
        share = torch.where(gradients != 0, share, 0.0)
        weights = (share * gradients.relu()).sum(dim=(2, 3), keepdim=True)
        return (weights * features).sum(dim=1).relu()


class XGradCam(_GradientCam):
    """XGrad-CAM: ReLU(sum_k a_k A^k), a_k = sum(g A) / (sum A + 1e-7) over places. Source: Fu et al., BMVC 2020."""

    kind: Literal["xgradcam"] = "xgradcam"

    def combine(self, features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        weights = (gradients * features).sum(dim=(2, 3)) / (features.sum(dim=(2, 3)) + 1e-7)
        return (weights[:, :, None, None] * features).sum(dim=1).relu()


class HiResCam(_GradientCam):
    """HiRes-CAM: ReLU(sum_k g ⊙ A), without averaging. Source: Draelos & Carin, 2020 (arXiv 2011.08891)."""

    kind: Literal["hirescam"] = "hirescam"

    def combine(self, features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        return (gradients * features).sum(dim=1).relu()


class LayerCam(_GradientCam):
    """Layer-CAM: ReLU(sum_k ReLU(g) ⊙ A). Source: Jiang et al., IEEE TIP 2021."""

    kind: Literal["layercam"] = "layercam"

    def combine(self, features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        return (gradients.relu() * features).sum(dim=1).relu()


class NormGrad(_GradientCam):
    """NormGrad: at each place the length of g over the channels, times that of A.

    Source: Rebuffi et al., There and back again, CVPR 2020 (arXiv 2004.02866).
    """

    kind: Literal["normgrad"] = "normgrad"

    def combine(self, features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        return gradients.norm(dim=1) * features.norm(dim=1)


class EigenGradCam(_GradientCam):
    """Eigen-Grad-CAM: the first principal component of g ⊙ A over the places; sign as in ``first_component``.

    Source: Gildenblat, pytorch-grad-cam, 2021.
    """

    kind: Literal["eigengradcam"] = "eigengradcam"

    def combine(self, features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        return first_component(gradients * features).relu()


class EigenCam(Explainer):
    """Eigen-CAM: the first principal component of A over the places; no class, no gradient.

    Source: Muhammad & Yeasin, Eigen-CAM, IJCNN 2020.
    """

    kind: Literal["eigencam"] = "eigencam"
    layered = True
    predicts = True

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            maps = probe.tapped(images, layers)[2]
        return {layer: first_component(maps[layer].float()).relu() for layer in layers}


def first_component(values: torch.Tensor) -> torch.Tensor:
    """Projection of each place's K values, centred over the places, on their first principal axis: (B, h, w).

    A principal axis has no sign; it is turned so that the places with large mean value are positive.
    """
    k, h, w = values.shape[1:]
    places = values.flatten(2).transpose(1, 2)  # (B, h·w, K)
    places = places - places.mean(dim=1, keepdim=True)
    # The smaller of the two Gram matrices: K may be in the thousands, places are few.
    if h * w <= k:
        strengths, axes = torch.linalg.eigh(places @ places.transpose(1, 2))
        projection = axes[:, :, -1] * strengths[:, -1:].clamp(min=0).sqrt()
    else:
        axes = torch.linalg.eigh(places.transpose(1, 2) @ places)[1]
        projection = (places @ axes[:, :, -1:])[:, :, 0]
    agreement = (projection * values.flatten(2).mean(dim=1)).sum(dim=1, keepdim=True)
    return (projection * torch.where(agreement < 0, -1.0, 1.0)).unflatten(1, (h, w))
