"""Change what activations do for as long as a block lasts, wherever and however a network calls them; and gradients
with another rule at rectifiers: DeconvNet, guided backpropagation, Guided Grad-CAM.

Modules call functions: ``nn.ReLU`` calls ``functional.relu``. Intercepting those calls instead of hooking modules also
reaches functions called directly, modules that are used twice, and in-place activations; and there is no hook to leave
behind. Scripted networks (``torch.jit``) do not show their calls.

The methods see edges that pass the rectifiers, and hardly the class: they fail the sanity checks of Adebayo et al.,
NeurIPS 2018 (arXiv 1810.03292). Only ReLU, ReLU6 and hardtanh from 0 have a rule; in networks that also have other
activations (MobileNetV3) those keep their gradient. A network without any rectifier is refused: the result would be the
plain gradient under another name.
"""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from foveate.core.errors import ConfigError
from foveate.explanation.explainer import Explainer
from foveate.explanation.gradients import LargestOfColours, pixel_gradients
from foveate.explanation.maps import grad_cam, upsample
from foveate.explanation.probe import Probe

Function = Callable[[torch.Tensor], torch.Tensor]
"""An activation with its settings bound, never in place."""

Replace = Callable[[torch.Tensor, Function, Any], torch.Tensor]
"""(input, the call as a function of its input, the bare function that was called) -> output, a new tensor."""

_TENSOR = torch.Tensor
RELUS: frozenset[Any] = frozenset(
    {functional.relu, functional.relu6, torch.relu, torch.relu_, _TENSOR.relu, _TENSOR.relu_}
)
"""Rectifiers; ``functional.hardtanh`` is one where it cuts at 0 (``nn.ReLU6``)."""

ELEMENTWISE: frozenset[Any] = RELUS | {
    functional.hardtanh, functional.leaky_relu, functional.prelu, torch.prelu, functional.elu, functional.celu,
    functional.selu, functional.gelu, functional.silu, functional.mish, functional.hardswish, functional.hardsigmoid,
    functional.softplus, functional.sigmoid, torch.sigmoid, _TENSOR.sigmoid, _TENSOR.sigmoid_, functional.tanh,
    torch.tanh, _TENSOR.tanh, _TENSOR.tanh_,
}  # fmt: skip
"""Functions of one value at a time."""

MAX_POOLS: frozenset[Any] = frozenset(
    {functional.max_pool2d, torch.max_pool2d, functional.adaptive_max_pool2d}
)

_OUT_OF_PLACE: dict[Any, Any] = {
    torch.relu_: torch.relu,
    _TENSOR.relu_: torch.relu,
    _TENSOR.sigmoid_: torch.sigmoid,
    _TENSOR.tanh_: torch.tanh,
}


class Replacing(TorchFunctionMode):
    """Inside the block, calls of the functions go to ``replace``; ``calls`` counts them.

    An in-place call gets what ``replace`` returns written into its input, as it would otherwise.
    """

    def __init__(self, functions: frozenset[Any], replace: Replace) -> None:
        super().__init__()
        self.functions, self.replace = functions, replace
        self.calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in self.functions or kwargs.get("return_indices"):
            return func(*args, **kwargs)
        values, plain, in_place = _bind(func, args, kwargs)
        self.calls += 1
        result = self.replace(values, plain, func)
        return values.copy_(result) if in_place else result


class Rectifying(Replacing):
    """``Replacing`` for rectifiers only: functions that are 0 below 0 and, up to a largest value, x above."""

    def __init__(self, replace: Replace) -> None:
        super().__init__(RELUS | {functional.hardtanh}, replace)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.hardtanh:
            low = inspect.signature(func).bind(*args, **(kwargs or {})).arguments.get("min_val", -1.0)
            if low != 0:
                return func(*args, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs)


def _bind(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[torch.Tensor, Function, bool]:
    """(the input, the call as a function of its input alone and out of place, whether it was in place)."""
    if hasattr(func, "__code__") and "input" in inspect.signature(func).parameters:
        arguments = dict(inspect.signature(func).bind(*args, **kwargs).arguments)
        values = arguments.pop("input")
        in_place = bool(arguments.pop("inplace", False))
        return values, lambda x: func(x, **arguments), in_place
    name = "input" if "input" in kwargs else "self"
    values, rest = (args[0], args[1:]) if args else (kwargs[name], ())
    others = {key: value for key, value in kwargs.items() if args or key != name}
    plain = _OUT_OF_PLACE.get(func, func)
    return values, lambda x: plain(x, *_cast(rest, x), **others), func in _OUT_OF_PLACE


def _cast(values: tuple[Any, ...], like: torch.Tensor) -> list[Any]:
    """Weights (of PReLU) in the type of the input, which may be another one than in the network."""
    return [v.to(like.dtype) if isinstance(v, torch.Tensor) else v for v in values]


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
