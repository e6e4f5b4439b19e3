"""Which module "first", "second" and "last" mean: found by running the network once, and kept.

- "first": the stem, that is what the first stage receives: on EfficientNet the first convolution with its norm and
  activation, on ViT and Swin the embedded patches. Where timm lists the stem itself (ResNet, before its pooling), that.
- "second": what the first stage returns.
- "last": the last feature map that the prediction reads place by place.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.models.feature_maps import picture_shaped, to_map
from foveate.models.layer_names import resolve_tap, timm_place

_found: "WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], str]]" = WeakKeyDictionary()


Answer = Callable[[torch.Tensor], torch.Tensor]
"""(B, C, H, W) pictures -> logits (B, classes)."""


def find_layer(answer: Answer, root: nn.Module, name: str, images: torch.Tensor) -> str:
    """The path in ``root`` of the module that "first", "second" or "last" means.

    Args:
        answer: of the network of which ``root`` is a part or the whole.
        images: (B, C, H, W) placed; one of them is looked at.

    Raises:
        ConfigError: the network has no such feature map.
    """
    known = _found.setdefault(root, {})
    key = (name, *images.shape[1:])
    if key not in known:
        one, place = images[:1].clone(), timm_place(root)
        if name == "last":
            known[key] = _last(answer, root, one)
        else:
            path = _early(answer, root.get_submodule(place), name, one)
            known[key] = f"{place}.{path}" if place else path
    return known[key]


def _early(answer: Answer, network: nn.Module, name: str, image: torch.Tensor) -> str:
    if not getattr(network, "feature_info", None):
        raise ConfigError(
            f"timm names no stages of {type(network).__name__}; give a module instead of '{name}'."
        )
    config: Any = getattr(network, "pretrained_cfg", None) or {}
    given = config.get("first_conv") or next(
        (path for path, module in network.named_modules() if isinstance(module, nn.Conv2d)), ""
    )
    convolution = given if isinstance(given, str) else given[0]
    try:
        listed = resolve_tap(network, "stage:0")
    except ConfigError:  # it names no module: the stem of HRNet and TResNet
        stage = resolve_tap(network, "stage:1")
    else:
        stem = _is_stem(network, listed, convolution)
        if stem and name == "first":
            return listed
        stage = resolve_tap(network, "stage:1") if stem else listed
    return stage if name == "second" else _before(answer, network, stage, convolution, image)


def _is_stem(network: nn.Module, path: str, convolution: str) -> bool:
    """Whether what timm lists first is the stem: it lies beside the first convolution, or is the norm after it."""
    parts = network.get_submodule(path).modules()
    computes = any(isinstance(part, nn.Conv2d | nn.Linear) for part in parts)
    return path.split(".")[0] == convolution.split(".")[0] or ("." not in path and not computes)


def _before(answer: Answer, network: nn.Module, stage: str, convolution: str, image: torch.Tensor) -> str:
    """The last map before the stage, and whatever else is in the list of stages with it, begins."""
    names = stage.split(".")
    outer = [".".join(names[: count + 1]) for count in range(len(names))]
    whole = next(path for path in outer if path == stage or not f"{convolution}.".startswith(f"{path}."))
    with torch.no_grad(), _recorded(network) as (calls, begun):
        answer(image)
    starts = [count for path, count in begun.items() if f"{path}.".startswith(f"{whole}.")]
    for call in reversed(calls[: min(starts, default=0)]):
        if _map(network, call.path, call.output, image) is not None:
            return call.path
    raise ConfigError(f"{type(network).__name__} has no feature map before {whole}; name a layer (a module).")


def _last(answer: Answer, root: nn.Module, image: torch.Tensor) -> str:
    """Networks of timm: what ``forward_features`` returns, or else the last output that is a map. Where a class token
    alone is read, the patches of the last block no longer reach it; there it is the input of the last block's attention
    (its first norm), as everywhere in the literature. Other networks: the last map with a gradient at its places.
    """
    if not getattr(root, "feature_info", None):
        return _last_read(answer, root, image)
    blocks = getattr(root, "blocks", None)
    if getattr(root, "global_pool", None) in ("token", "cls") and isinstance(
        blocks, nn.Sequential | nn.ModuleList
    ):
        last = len(blocks) - 1
        return f"blocks.{last}.norm1" if hasattr(blocks[last], "norm1") else f"blocks.{last - 1}"
    forward_features: Any = getattr(root, "forward_features", answer)
    with torch.no_grad(), _recorded(root) as (calls, _):
        features = forward_features(image)
    # The network's own last map first, by identity; else the last output that is a map of the picture.
    same = [call for call in calls if call.output is features]
    for call in [*reversed(same), *reversed(calls)]:
        if _map(root, call.path, call.output, image) is not None:
            return call.path
    raise ConfigError(_no_map(root))


def _last_read(answer: Answer, root: nn.Module, image: torch.Tensor) -> str:
    """The last map whose places have a gradient. Where later ones had none (a class token is read) and this is a linear
    layer, it makes the keys or values of an attention; then it is the map from which they are made."""
    with torch.enable_grad(), _recorded(root) as (calls, _):
        logits = answer(image.requires_grad_().clone())
        # Unequal weights: probabilities sum to 1 whatever the picture.
        score = (logits * torch.linspace(1, 2, logits.shape[1], device=logits.device)).sum()
    maps = [
        call
        for call in calls
        if (found := _map(root, call.path, call.output, image)) is not None and picture_shaped(found, image)
    ]
    passed = False
    for call in reversed(maps):
        if not _is_read(root, call, score, image):
            passed = True
            continue
        if passed and isinstance(root.get_submodule(call.path), nn.Linear):
            return next((other.path for other in reversed(maps) if other.output is call.given), call.path)
        return call.path
    if maps:
        return maps[-1].path
    raise ConfigError(_no_map(root))


def _is_read(root: nn.Module, call: "_Call", score: torch.Tensor, image: torch.Tensor) -> bool:
    """Whether the score depends on more than one place of the map."""
    parts = list(call.output) if isinstance(call.output, tuple | list) else [call.output]
    able = [part for part in parts if isinstance(part, torch.Tensor) and part.requires_grad]
    if not able or not score.requires_grad:
        return False
    found = iter(
        torch.autograd.grad(score, able, retain_graph=True, allow_unused=True, materialize_grads=True)
    )
    given = [next(found) if any(part is one for one in able) else part for part in parts]
    gradient = _map(root, call.path, given if isinstance(call.output, tuple | list) else given[0], image)
    return gradient is not None and int((gradient != 0).any(dim=1).sum()) > 1


def _no_map(root: nn.Module) -> str:
    if isinstance(root, torch.jit.ScriptModule):
        return "A TorchScript network cannot be looked into; explain the network that it was made from."
    return f"{type(root).__name__} has no output that is a map of the picture; name a layer (a module)."


@dataclass(frozen=True)
class _Call:
    """One call of a module."""

    path: str
    given: Any
    output: Any


@contextmanager
def _recorded(root: nn.Module) -> Iterator[tuple[list[_Call], dict[str, int]]]:
    """Calls of the modules of ``root``, in the order in which they end; {path: how many had ended when it began}."""
    calls: list[_Call] = []
    begun: dict[str, int] = {}

    def begins(path: str, module: nn.Module, given: Any) -> None:
        begun.setdefault(path, len(calls))

    def ends(path: str, module: nn.Module, given: Any, output: Any) -> None:
        calls.append(_Call(path, given[0] if given else None, output))

    with ExitStack() as stack:
        for path, module in root.named_modules():
            if path:
                stack.callback(module.register_forward_pre_hook(partial(begins, path)).remove)
                stack.callback(module.register_forward_hook(partial(ends, path)).remove)
        yield calls, begun


def _map(root: nn.Module, path: str, output: Any, image: torch.Tensor) -> torch.Tensor | None:
    """The output as a map (1, K, h, w) of more than one place, or None."""
    try:
        found = to_map(root, path, output, image)
    except ConfigError:
        return None
    return found if found.shape[2] * found.shape[3] > 1 else None
