"""FullGrad: the whole score, divided among the pixels and the biases of all layers."""

import inspect
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from foveate.core.errors import ConfigError
from foveate.explanation.explainer import PictureExplainer
from foveate.explanation.gradients import pixel_gradients
from foveate.explanation.maps import upsample
from foveate.explanation.probe import Probe
from foveate.models.feature_maps import picture_shaped, to_map

Visit = Callable[[torch.Tensor], None]
"""Gets a part of the score: (B, K, h, w) where it has places in the picture, else (B, F)."""


class FullGrad(PictureExplainer):
    """The sum of |x dS/dx| and, for all biases b, |b dS/db| at their places, each layer stretched to [0, 1].

    Biases are those of convolutions, linear layers and norms, with batch norm's running mean as part of its bias. In a
    network of these layers, ReLU and pools the parts sum exactly to the score. Parts without places (of layers after
    the pooling, or inside of windows) are in the score and not in the map.
    Source: Srinivas & Fleuret, NeurIPS 2019 (arXiv 1905.00780).
    """

    kind: Literal["fullgrad"] = "fullgrad"
    predicts = True

    def map(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        size = (images.shape[2], images.shape[3])
        total = torch.zeros(len(images), *size, device=images.device)

        def add(part: torch.Tensor) -> None:
            if part.ndim == 4:
                total.add_(upsample(_stretched(part.abs()).sum(dim=1), size))

        full_gradients(probe, images, targets, add)
        return total


def full_gradients(probe: Probe, images: torch.Tensor, targets: torch.Tensor, visit: Visit) -> None:
    """Visits all parts of the score, signed, float32; the last one is x dS/dx, (B, 3, H, W)."""
    with _Biases(probe, images, visit):
        gradients = pixel_gradients(probe, images, targets)
    visit(images.float() * gradients)


def _stretched(part: torch.Tensor) -> torch.Tensor:
    """Each picture's (K, h, w) to [0, 1] as a whole, so that a layer's channels keep their proportions."""
    low, high = part.amin(dim=(1, 2, 3), keepdim=True), part.amax(dim=(1, 2, 3), keepdim=True)
    return (part - low) / (high - low).clamp(min=1e-12)


_CHANNELS_FIRST: frozenset[Any] = frozenset({torch.conv2d, functional.batch_norm, functional.group_norm})
_CHANNELS_LAST: frozenset[Any] = frozenset({functional.linear, functional.layer_norm})


class _Biases(TorchFunctionMode):
    """Inside the block, layers with a bias report their part of the score during the backward pass."""

    def __init__(self, probe: Probe, images: torch.Tensor, visit: Visit) -> None:
        super().__init__()
        self.probe, self.images, self.visit = probe, images, visit

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func not in _CHANNELS_FIRST and func not in _CHANNELS_LAST:
            return result
        bias = _bias(func, args, kwargs)
        if bias is not None and result.requires_grad:
            last = func in _CHANNELS_LAST
            # A hook of the tensor: it sees the gradient before any in-place operation that follows, and dies with it.
            result.register_hook(lambda gradient: self._report(gradient, bias, last))
        return result

    def _report(self, gradient: torch.Tensor, bias: torch.Tensor, last: bool) -> None:
        shape = (-1,) if last else (1, -1) + (1,) * (gradient.ndim - 2)
        part = gradient.float() * bias.float().view(shape)
        if len(part) != len(self.images):
            self.visit(part.reshape(len(self.images), -1))
            return
        places = self._map(part) if last else part
        self.visit(part.flatten(1) if places is None or places.ndim != 4 else places)

    def _map(self, part: torch.Tensor) -> torch.Tensor | None:
        """(B, h, w, K) or (B, N, K) -> (B, K, h, w), None where that has no places."""
        if part.ndim == 4:
            # (B, heads, N, K), the norm of queries and keys, is no map.
            places = part.permute(0, 3, 1, 2)
            return places if picture_shaped(places, self.images) else None
        if part.ndim != 3 or hasattr(self.probe.backbone, "reroll"):  # Hiera's tokens are not in order
            return None
        try:
            return to_map(self.probe.backbone, "", part, self.images)
        except ConfigError:
            return None


def _bias(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The bias (K,) with which the layer is linear in its input (norms of the picture itself: their own bias)."""
    if func in (torch.conv2d, functional.linear):
        bias = args[2] if len(args) > 2 else kwargs.get("bias")
        return None if bias is None else bias.detach()
    bound = inspect.signature(func).bind(*args, **kwargs)
    bound.apply_defaults()
    given = bound.arguments
    bias = None if given["bias"] is None else given["bias"].detach()
    if func is functional.batch_norm and not given["training"] and given["running_mean"] is not None:
        scale = (given["running_var"] + given["eps"]).rsqrt()
        if given["weight"] is not None:
            scale = scale * given["weight"].detach()
        implied = -given["running_mean"] * scale
        return implied if bias is None else bias + implied
    return bias
