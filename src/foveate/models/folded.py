"""BatchNorm folded into the convolutions before it: the same answers with fewer passes over memory."""

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

from foveate.core import torchvision_guard  # noqa: F401  (before timm)
from foveate.models.modes import evaluating
from foveate.models.networks import Network

from timm.layers import BatchNormAct2d  # isort: skip

CLOSE = 1e-4
"""Largest difference of an answer, as a share of the largest answer; folding itself makes some 1e-7."""


def folded(model: Network, size: int) -> Network:
    """A copy in eval mode that answers as ``model`` does there; made for answers alone, it is not for training.

    Which BatchNorm takes what a convolution gives is seen in one pass over noise of ``size`` px, so any network will
    do. The model itself is given back where nothing can be folded, or where the copy would answer otherwise (as where a
    convolution's output is used in two places).

    Source: Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only inference,
    CVPR 2018, section 3.2 (the formula).
    """
    return _folded(model, size)[0]


@torch.no_grad()
def _folded(model: Network, size: int) -> tuple[Network, list[tuple[str, str]]]:
    """And the names of what was folded: (convolution, BatchNorm)."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model, []
    noise = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    images = noise.to(model.mean)
    with evaluating(model):
        pairs, wanted = _watched(model, images)
    if not pairs:
        return model, []
    made = copy.deepcopy(model).eval()
    _disturb(made, [norm for _, norm in pairs])
    disturbed = made(images).logits
    for conv, norm in pairs:
        before: Any = made.get_submodule(conv)
        after: Any = made.get_submodule(norm)
        _put(made, conv, fuse_conv_bn_eval(before, after))
        rest = nn.Sequential(after.drop, after.act) if isinstance(after, BatchNormAct2d) else nn.Identity()
        _put(made, norm, rest)
    alike = _close(made(images).logits, disturbed)
    _follow(made, model, _values(model), pairs)
    return (made, pairs) if alike and _close(made(images).logits, wanted) else (model, [])


def _disturb(model: nn.Module, norms: list[str]) -> None:
    """Trap: BatchNorms as they are before training change nothing, so that a wrong folding would show only later."""
    generator = torch.Generator().manual_seed(1)
    for name in norms:
        norm: Any = model.get_submodule(name)
        for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
            if values is not None:
                values.copy_(torch.rand(values.shape, generator=generator) * 0.5 + 0.5)


def _close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((found - wanted).abs().max() <= CLOSE * wanted.abs().max())


@dataclass(frozen=True)
class _Kept:
    structure: list[tuple[Any, ...]]
    """Of each module who it is and its hooks; of each value where it is, its type and shape."""
    values: list[torch.Tensor]
    """Copies of what the model had."""
    made: Network | None
    """None: nothing was folded. The model itself would be held for ever."""
    pairs: list[tuple[str, str]]


_KEPT: WeakKeyDictionary[Network, _Kept] = WeakKeyDictionary()


@torch.no_grad()
def folded_once(model: Network, size: int) -> Network:
    """``folded``, made anew only when a module or a hook of the model has changed since the last time. Changed weights
    are folded into the copy that there is, in an eighth of the time. The copy is shared; do not change it."""
    now = _values(model)
    structure: list[tuple[Any, ...]] = [
        (id(each), *each._forward_hooks, *each._forward_pre_hooks) for each in model.modules()
    ]
    structure += [(value.device, value.dtype, value.shape) for value in now.values()]
    kept = _KEPT.get(model)
    if kept is None or kept.structure != structure:
        made, pairs = _folded(model, size)
        copies = [value.clone() for value in now.values()] if pairs else []
        _KEPT[model] = kept = _Kept(structure, copies, made if pairs else None, pairs)
    if kept.made is None:
        return model
    if not all(map(torch.equal, kept.values, now.values())):
        for mine, value in zip(kept.values, now.values(), strict=True):
            mine.copy_(value)
        _follow(kept.made, model, now, kept.pairs)
    return kept.made


def _follow(
    made: Network, model: Network, values: dict[str, torch.Tensor], pairs: list[tuple[str, str]]
) -> None:
    """Give the copy the ``values`` of the model; convolutions take in their BatchNorms."""
    own = dict(values)
    for conv, norm in pairs:
        module: Any = model.get_submodule(norm)
        own[f"{conv}.weight"], own[f"{conv}.bias"] = fuse_conv_bn_weights(
            values[f"{conv}.weight"], values.get(f"{conv}.bias"), values[f"{norm}.running_mean"],
            values[f"{norm}.running_var"], module.eps, values.get(f"{norm}.weight"), values.get(f"{norm}.bias"),
        )  # fmt: skip
    for name, value in _values(made).items():
        value.copy_(own[name])


def _values(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by their names."""
    return {name: value.detach() for name, value in (*model.named_parameters(), *model.named_buffers())}


def _watched(model: Network, images: torch.Tensor) -> tuple[list[tuple[str, str]], torch.Tensor]:
    """Names of (convolution, BatchNorm that alone takes its output, each time), and the logits."""
    given: dict[int, tuple[str, torch.Tensor]] = {}
    calls: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()

    def watch(name: str, module: nn.Module) -> None:
        def hook(_: nn.Module, taken: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
            calls[name] += 1
            if isinstance(module, nn.Conv2d):
                given[id(out)] = (name, out)  # held, so that its id stays its own
            elif taken and id(taken[0]) in given:
                pairs[given[id(taken[0])][0], name] += 1

        handles.append(module.register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name, module in model.named_modules():
            norm = type(module) in (nn.BatchNorm2d, BatchNormAct2d) and module.running_var is not None
            if norm or isinstance(module, nn.Conv2d):
                watch(name, module)
        logits = model(images).logits
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair, times in pairs.items() if calls[pair[0]] == calls[pair[1]] == times], logits


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
