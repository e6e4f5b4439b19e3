"""Feature maps: what a module of a timm backbone returns, as (B, K, h, w) and back again."""

import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.models.layer_names import (
    PRESETS,
    architecture,
    entry_path,
    feature_info,
    keras_points,
    owner_of,
    stage_entry,
)

_PATCH = 4
"""Smallest stride, in px, of a convolution that cuts a picture into patches."""
_MOST_PREFIX = 16
"""Most prefix tokens that are believed where no one says their number."""
_ALWAYS_NCHW = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
Rebuild = Callable[[torch.Tensor], Any]


def to_map(backbone: nn.Module, path: str, output: Any, images: torch.Tensor) -> torch.Tensor:
    """What the module at ``path`` returned for ``images`` (B, 3, H, W), as (B, K, h, w).

    Raises:
        ConfigError: the output is no map of the picture (pooled, windowed, several tensors).
    """
    return as_map(backbone, path, path, output, images)[0]


def picture_shaped(feature_map: torch.Tensor, images: torch.Tensor) -> bool:
    """Whether (B, K, h, w) has the shape of the pictures (B, C, H, W), to rounding; heads x tokens have not."""
    (h, w), (height, width) = feature_map.shape[2:], images.shape[2:]
    return abs(h * width - w * height) < max(height, width)


def as_map(
    network: nn.Module, path: str, name: str, output: Any, images: torch.Tensor
) -> tuple[torch.Tensor, Rebuild]:
    """(map, function that makes the module's output again from a map) of the tap ``name``, the module at ``path``.

    Raises:
        ConfigError: see ``to_map``.
    """
    backbone, path = owner_of(network, path)
    info = _expected(backbone, path, name)
    if isinstance(output, torch.Tensor):
        split = _split_tensor(backbone, path, output, images, info)
        if split is not None:
            return split
    elif isinstance(output, tuple | list):
        splits = {i: _split_tensor(backbone, path, part, images, info) for i, part in enumerate(output)}
        fitting = {i: split for i, split in splits.items() if split is not None and _fits(split[0], info)}
        if fitting:  # of several maps, the one nearest to the size timm states, else the largest
            wanted = images.shape[2] / info.get("reduction", 1)
            chosen = min(fitting, key=lambda i: abs(fitting[i][0].shape[2] - wanted))
            feature_map, inner = fitting[chosen]

            def rebuild(new: torch.Tensor) -> Any:
                return type(output)(inner(new) if i == chosen else part for i, part in enumerate(output))

            return feature_map, rebuild
    raise ConfigError(
        f"Tap {name!r} (module {path}) of {architecture(backbone)} returns {_describe(output)}, "
        f"which is no map of {tuple(images.shape)} pictures; tap another module."
    )


def _expected(backbone: nn.Module, path: str, name: str) -> dict[str, Any]:
    """timm's num_chs and reduction of this output; the path "" means what ``forward_features`` returns."""
    if not path:
        return {"num_chs": getattr(backbone, "num_features", None)}
    if name.startswith("stage:") or (name in PRESETS and not keras_points(backbone)):
        return stage_entry(backbone, name)
    return next((info for info in feature_info(backbone) if entry_path(backbone, info) == path), {})


def _fits(feature_map: torch.Tensor, info: dict[str, Any]) -> bool:
    return not info or feature_map.shape[1] == info["num_chs"]


def _split_tensor(
    backbone: nn.Module, path: str, output: Any, images: torch.Tensor, info: dict[str, Any]
) -> tuple[torch.Tensor, Rebuild] | None:
    if (
        not isinstance(output, torch.Tensor)
        or output.ndim not in (3, 4)
        or output.shape[0] != images.shape[0]
    ):
        return None
    if output.ndim == 3:
        return _split_tokens(backbone, path, output, images)
    if _is_nhwc(backbone, path, output, images, info.get("num_chs")):
        return output.permute(0, 3, 1, 2), lambda new: new.permute(0, 2, 3, 1).clone()
    return output, torch.clone


def _is_nhwc(
    backbone: nn.Module, path: str, output: torch.Tensor, images: torch.Tensor, channels: int | None
) -> bool:
    """Known operators first, then timm's channels, then axes shaped like the picture, then timm's layout."""
    _, a, b, c = output.shape
    if isinstance(backbone.get_submodule(path), _ALWAYS_NCHW):
        return False
    if channels is not None and (a == channels) != (c == channels):
        return c == channels
    aspect = math.log(images.shape[2] / images.shape[3])
    as_nchw, as_nhwc = abs(math.log(b / c) - aspect), abs(math.log(a / b) - aspect)
    if as_nchw != as_nhwc:
        return as_nhwc < as_nchw
    return getattr(backbone, "output_fmt", "NCHW") == "NHWC"


def _split_tokens(
    backbone: nn.Module, path: str, tokens: torch.Tensor, images: torch.Tensor
) -> tuple[torch.Tensor, Rebuild] | None:
    """(B, P + h·w, K) -> map (B, K, h, w); the P prefix tokens (class, registers) go round it."""
    found = _grid(backbone, tokens.shape[1], images.shape[2], images.shape[3])
    if found is None or _is_shuffled(backbone, path):
        return None
    prefix, grid = found
    order = _token_order(backbone, path, tokens.shape[1])
    ordered = tokens if order is None else tokens[:, order]
    feature_map = ordered[:, prefix:].transpose(1, 2).unflatten(2, grid).contiguous()

    def rebuild(new: torch.Tensor) -> torch.Tensor:
        again = torch.cat([tokens[:, :prefix], new.flatten(2).transpose(1, 2)], dim=1)
        return again if order is None else again[:, order.argsort()]

    return feature_map, rebuild


def _is_shuffled(backbone: nn.Module, path: str) -> bool:
    """Whether the tokens stand in an order that is not known: inside of Hiera's blocks."""
    known = path == "" or path.startswith("patch_embed") or re.fullmatch(r"blocks\.\d+", path)
    return hasattr(backbone, "reroll") and not known


def _token_order(backbone: nn.Module, path: str, count: int) -> torch.Tensor | None:
    """Hiera keeps its tokens by mask units: (N,) positions that put them row by row; None for the others."""
    reroll: Any = getattr(backbone, "reroll", None)
    parent, _, index = path.rpartition(".")
    if reroll is None or parent != "blocks" or not index.isdecimal():
        return None
    device = next(backbone.parameters()).device
    numbers = torch.arange(count, device=device, dtype=torch.float32).view(1, count, 1)
    return reroll(numbers, int(index)).flatten().long()


def _grid(backbone: nn.Module, count: int, height: int, width: int) -> tuple[int, tuple[int, int]] | None:
    """(P, (h, w)) with P + h·w == count: P prefix tokens before the grid.

    The grid is the patch embedding's, else a stage's by its reduction, else one with the picture's aspect.
    P is what timm says, or 0 or 1: some networks add their class token late (CaiT, XCiT) or do not count it
    (VOLO). Outside timm, a first convolution that cuts patches tells the grid, and P is what remains (registers).
    """
    known: list[tuple[int, int]] = []
    embed: Any = getattr(backbone, "patch_embed", None)
    if hasattr(embed, "dynamic_feat_size"):
        known.append(tuple(embed.dynamic_feat_size((height, width))))
    steps = [info["reduction"] for info in feature_info(backbone)]
    known += [(math.ceil(height / step), math.ceil(width / step)) for step in steps]
    first = next((module for module in backbone.modules() if isinstance(module, nn.Conv2d)), None)
    if not known and first and first.stride == first.kernel_size and min(first.stride) >= _PATCH:
        rows, columns = height // first.stride[0], width // first.stride[1]
        if 0 <= count - rows * columns <= _MOST_PREFIX:
            return count - rows * columns, (rows, columns)
    prefixes = dict.fromkeys((int(getattr(backbone, "num_prefix_tokens", 0) or 0), 0, 1))
    for prefix in prefixes:
        for grid in known:
            if prefix + grid[0] * grid[1] == count:
                return prefix, grid
    for prefix in prefixes:
        h = round(math.sqrt(max(count - prefix, 0) * height / width))
        if h and (count - prefix) % h == 0:
            w = (count - prefix) // h
            if w == round(h * width / height) or h == round(w * height / width):
                return prefix, (h, w)
    return None


def _describe(output: Any) -> str:
    if isinstance(output, torch.Tensor):
        return f"a tensor {tuple(output.shape)}"
    if isinstance(output, tuple | list):
        return f"{len(output)} values"
    return f"a {type(output).__name__}"
