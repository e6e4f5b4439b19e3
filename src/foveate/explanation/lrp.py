"""Layer-wise relevance propagation for any network, as gradient times input through functions with other gradients.

Every rule below keeps a function's value and changes its gradient only. The changes are made while the network runs, by
a ``TorchFunctionMode``: no module is replaced, so it does not matter how a network is put together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch.overrides import TorchFunctionMode

from foveate.explanation.explainer import PictureExplainer
from foveate.explanation.probe import Probe

Rule = Literal["epsilon", "gamma", "zplus"]

_TINY = 1e-12
"""A value below this has no sign that means anything."""


class LRP(PictureExplainer):
    """Relevance of each pixel, summed over the colours: what of the class's logit came from there.

    R_j = sum_k a_j w_jk / z_k R_k through linear layers, by one of these rules (a inputs, w weights, z outputs):

    - epsilon: z_k + sign(z_k) epsilon stands for z_k. Small epsilon: the same as gradient times input.
    - gamma: w + gamma w+ stands for w, so that evidence in favour weighs more. Where an input or an output is below
      zero (SiLU, GELU), contributions of the output's sign are the ones that are raised.
    - zplus: only contributions of the output's sign (gamma without end).
    - composite: gamma in convolutions, epsilon in dense layers.

    Activations hand on f(x) / x. Batch norm belongs to the convolution before it. Layer and group norm: the standard
    deviation is a constant. Attention weights and gates (squeeze and excitation) are constants; of a product of two
    signals each gets half. Sums share by value, maxima give to the largest. Relevance of biases goes to nobody.

    Sources: Bach et al., PLoS ONE 2015; Montavon et al., 2019 (rules); Andéol et al., 2021 (gamma for any sign);
    Ali et al., ICML 2022 (layer norm, attention).
    """

    kind: Literal["lrp"] = "lrp"
    rule: Literal["composite", "epsilon", "gamma", "zplus"] = "composite"
    """Which rule; see the class."""
    gamma: float = Field(default=0.25, ge=0)
    """How much more contributions of the output's sign count; 0.25 by Montavon et al."""
    epsilon: float = Field(default=1e-6, ge=0)
    """Added to outputs of the epsilon rule, as a share of their root mean square in the picture. 0.25 takes noise out,
    and relevance with it."""

    signed = True
    in_place = False

    def map(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            pictures = images.detach().requires_grad_()
            with Relevance(self):
                logits = probe.logits(pictures)
            score = logits.gather(1, targets[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, pictures)
        return (images * gradient).sum(dim=1).float()


@dataclass(frozen=True)
class Call:
    """A function and what it is called with."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self) -> Any:
        return self.func(*self.args, **self.kwargs)

    def given(self, names: str) -> dict[str, Any]:
        """The arguments by their names, in the order of the function's parameters."""
        return {**dict(zip(names.split(), self.args, strict=False)), **self.kwargs}


Handler = Callable[["Relevance", Call], Any]


class Relevance(TorchFunctionMode):
    """While it is active, functions of signals have the gradients of LRP. A signal is what depends on the picture."""

    def __init__(self, rules: LRP) -> None:
        super().__init__()
        self.rules = rules
        self.conv: Rule = "gamma" if rules.rule == "composite" else rules.rule
        self.dense: Rule = "epsilon" if rules.rule == "composite" else rules.rule
        self.gates: dict[int, tuple[int, torch.Tensor]] = {}
        """{id: (2 for a sigmoid's output, 1 for relu6 and others that gates are built of, the tensor)}; the tensors
        are kept, so that an id stays theirs."""
        self.convolved: dict[int, tuple[torch.Tensor, Any]] = {}
        """The last convolution's output and how it was made, for a batch norm that follows."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        handler = _HANDLERS.get(name) or _HANDLERS.get(name.strip("_"))
        if handler is None or not any(_signal(value) for value in (*args, *kwargs.values())):
            return func(*args, **kwargs)
        return handler(self, Call(func, args, kwargs))

    def gate(self, value: Any) -> int:
        """How much ``value`` is a gate: 2, 1, or 0 for any other signal."""
        return self.gates[id(value)][0] if id(value) in self.gates else 0

    def linear(
        self, rule: Rule, apply: Callable[..., torch.Tensor], x: torch.Tensor, w: torch.Tensor, b: Any
    ) -> torch.Tensor:
        """``apply(x, w, b)`` with the rule's gradient with respect to x."""
        z = apply(x, w, b)
        if rule == "epsilon":
            size = self.rules.epsilon * z.detach().square().flatten(1).mean(1).sqrt()
            size = size.view(-1, *[1] * (z.ndim - 1)).clamp(min=_TINY)
            share = z.detach() / (z.detach() + torch.where(z.detach() < 0, -size, size))
            return _with_gradient(z.detach(), z * share)
        w = w.detach()
        up, down = w.clamp(min=0), w.clamp(max=0)
        positive = apply(x.clamp(min=0), up, None if b is None else b.clamp(min=0))
        negative = apply(x.clamp(min=0), down, None if b is None else b.clamp(max=0))
        if bool((x.detach() < 0).any()):
            positive = positive + apply(x.clamp(max=0), down, None)
            negative = negative + apply(x.clamp(max=0), up, None)
        same = torch.where(z.detach() >= 0, positive, negative)
        raised = same if rule == "zplus" else positive + negative + self.rules.gamma * same
        return _with_gradient(z.detach(), raised * _ratio(z.detach(), raised.detach()))


def _signal(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


def _with_gradient(value: torch.Tensor, surrogate: torch.Tensor) -> torch.Tensor:
    """``value``, with the gradient of ``surrogate``."""
    return surrogate + (value - surrogate).detach()


def _ratio(value: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """value / by; 0 where there is nothing to divide by."""
    small = by.abs() < _TINY
    return torch.where(small, 0.0, value / torch.where(small, 1.0, by))


def _activation(mode: Relevance, call: Call) -> Any:
    """f(x), with gradient f(x) / x."""
    given = dict(call.kwargs)
    x, rest = (call.args[0], call.args[1:]) if call.args else (given.pop("input"), ())
    copy = x.detach().clone()
    value = call.func(copy, *rest, **given)
    result = x * _ratio(value, x.detach())
    if value.data_ptr() == copy.data_ptr():  # in place: whoever holds x sees the result
        result = x.copy_(result)
    return result


def _gate(mode: Relevance, call: Call) -> Any:
    result = _activation(mode, call)
    mode.gates[id(result)] = (2 if "sigmoid" in call.func.__name__ else 1, result)
    return result


def _reshape(mode: Relevance, call: Call) -> Any:
    """A gate of another shape, or divided by a number, is still a gate."""
    result = call()
    if call.args and mode.gate(call.args[0]) and isinstance(result, torch.Tensor):
        mode.gates[id(result)] = (mode.gate(call.args[0]), result)
    return result


def _product(mode: Relevance, call: Call) -> Any:
    """Signal times constant: as it is. Signal times gate: the gate is a constant. Two signals: half each."""
    func, given = call.func, call.given("self other")
    x, y, in_place = given["self"], given["other"], func.__name__ in ("__imul__", "mul_", "multiply_")
    if not (_signal(x) and _signal(y)):
        return _reshape(mode, call)
    if mode.gate(y) > mode.gate(x):
        return func(x, y.detach())
    if mode.gate(x) > mode.gate(y):
        result = func(x.detach().clone(), y)
        return x.copy_(result) if in_place else result
    if in_place:
        return x.copy_((x * y.detach() + x.detach() * y) / 2)
    return (func(x, y.detach()) + func(x.detach(), y)) / 2


def _convolution(mode: Relevance, call: Call) -> Any:
    given = call.given("input weight bias stride padding dilation groups")
    x, w, b = given.pop("input"), given.pop("weight"), given.pop("bias", None)

    def apply(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None) -> torch.Tensor:
        result: torch.Tensor = call.func(x, w, b, **given)
        return result

    result = mode.linear(mode.conv, apply, x, w, b)
    mode.convolved = {id(result): (result, (apply, x, w, b))}
    return result


def _dense(mode: Relevance, call: Call) -> Any:
    given = call.given("input weight bias")
    return mode.linear(mode.dense, call.func, given["input"], given["weight"], given.get("bias"))


def _batch_norm(mode: Relevance, call: Call) -> Any:
    """Affine in evaluation mode; with the convolution before it, it is one layer."""
    given = call.given("input running_mean running_var weight bias training momentum eps")
    made = mode.convolved.get(id(given["input"]))
    if made is None or mode.conv == "epsilon" or given.get("running_var") is None or given.get("training"):
        return call()
    apply, x, w, b = made[1]
    scale = torch.rsqrt(given["running_var"] + given.get("eps", 1e-5))
    scale = scale if given.get("weight") is None else scale * given["weight"]
    shift = (0.0 if b is None else b) - given["running_mean"]
    shift = shift * scale + (0.0 if given.get("bias") is None else given["bias"])
    return mode.linear(mode.conv, apply, x, w * scale.view(-1, *[1] * (w.ndim - 1)), shift)


def _layer_norm(mode: Relevance, call: Call) -> Any:
    given = call.given("input normalized_shape weight bias eps")
    axes = tuple(range(-len(given["normalized_shape"]), 0))
    return _normed(call(), given["input"], axes, given)


def _group_norm(mode: Relevance, call: Call) -> Any:
    given = call.given("input num_groups weight bias eps")
    x = given["input"].unflatten(1, (given["num_groups"], -1))  # (B, G, C / G, ...)
    return _normed(call(), x, tuple(range(2, x.ndim)), given)


def _normed(
    value: torch.Tensor, x: torch.Tensor, axes: tuple[int, ...], given: dict[str, Any]
) -> torch.Tensor:
    variance = x.detach().var(dim=axes, keepdim=True, unbiased=False)
    result = (x - x.mean(dim=axes, keepdim=True)) * torch.rsqrt(variance + given.get("eps", 1e-5))
    weight = given.get("weight")
    if x.shape != value.shape:  # groups of channels
        result = result.view_as(value)
        weight = None if weight is None else weight.view(-1, *[1] * (value.ndim - 2))
    return _with_gradient(value.detach(), result if weight is None else result * weight)


def _rms_norm(mode: Relevance, call: Call) -> Any:
    x = call.given("input")["input"]
    value = call().detach()
    return _with_gradient(value, x * _ratio(value, x.detach()))


def _attention(mode: Relevance, call: Call) -> Any:
    given = call.given("query key value")
    given |= {"query": given["query"].detach(), "key": given["key"].detach()}
    return call.func(*(given.pop(name) for name in ("query", "key", "value")), *call.args[3:], **given)


def _constant(mode: Relevance, call: Call) -> Any:
    return call().detach()


_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    "linear": _dense,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "rms_norm": _rms_norm,
    "scaled_dot_product_attention": _attention,
    "softmax": _constant,
    **dict.fromkeys(("mul", "rmul", "imul", "multiply", "matmul", "rmatmul", "bmm"), _product),
    **dict.fromkeys(("sigmoid", "hardsigmoid", "relu6", "hardtanh", "tanh"), _gate),
    **dict.fromkeys(
        ("relu", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish",
         "softplus", "softsign", "logsigmoid", "threshold", "clamp"), _activation
    ),
    **dict.fromkeys(
        ("view", "reshape", "expand", "expand_as", "getitem", "unsqueeze", "squeeze", "flatten", "unflatten", "permute",
         "transpose", "contiguous", "clone", "to", "type_as", "div", "truediv", "itruediv", "chunk"), _reshape
    ),
}  # fmt: skip
"""By the function's name, without the underscores of operators and in-place forms."""
