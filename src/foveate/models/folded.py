"""BatchNorm folded into the convolutions before it: the same answers with fewer passes over memory."""

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from foveate.core import torchvision_guard  # noqa: F401  (before timm)
from foveate.models.modes import evaluating
from foveate.models.networks import Network

from timm.layers import BatchNormAct2d  # isort: skip

CLOSE = 1e-4
"""Largest difference of an answer, as a share of the largest answer; folding itself makes some 1e-7."""


@torch.no_grad()
def folded(model: Network, size: int) -> Network:
    """A copy in eval mode that answers as ``model`` does there; made for answers alone, it is not for training.

    Which BatchNorm takes what a convolution gives is seen in one pass over noise of ``size`` px, so any network will
    do. The model itself is given back where nothing can be folded, or where the copy would answer otherwise (as where a
    convolution's output is used in two places).

    Source: Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only inference,
    CVPR 2018, section 3.2 (the formula).
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    noise = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    images = noise.to(model.mean)
    with evaluating(model):
        pairs, wanted = _watched(model, images)
        if not pairs:
            return model
        made = copy.deepcopy(model).eval()
        for conv, norm in pairs:
            before: Any = made.get_submodule(conv)
            after: Any = made.get_submodule(norm)
            _put(made, conv, fuse_conv_bn_eval(before, after))
            rest = (
                nn.Sequential(after.drop, after.act) if isinstance(after, BatchNormAct2d) else nn.Identity()
            )
            _put(made, norm, rest)
        found = made(images).logits
    return made if bool((found - wanted).abs().max() <= CLOSE * wanted.abs().max()) else model


@dataclass(frozen=True)
class _Kept:
    modules: list[tuple[int, ...]]
    values: list[torch.Tensor]
    made: Network | None
    """None: nothing was folded. The model itself would be held for ever."""


_KEPT: WeakKeyDictionary[Network, _Kept] = WeakKeyDictionary()


def folded_once(model: Network, size: int) -> Network:
    """``folded``, made anew only when a weight, a module or a hook of the model has changed since the last time: to
    look takes about a thirtieth of the time. The copy is shared; do not change it."""
    modules = [(id(each), *each._forward_hooks, *each._forward_pre_hooks) for each in model.modules()]
    values = [value.detach() for value in (*model.parameters(), *model.buffers())]
    kept = _KEPT.get(model)
    if kept is None or kept.modules != modules or not all(map(_same, kept.values, values)):
        made = folded(model, size)
        _KEPT[model] = kept = _Kept(
            modules, [value.clone() for value in values], None if made is model else made
        )
    return model if kept.made is None else kept.made


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.device == other.device and one.dtype == other.dtype and torch.equal(one, other)


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
