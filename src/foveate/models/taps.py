"""Taps: feature maps from the inside of any timm backbone, always as (B, K, h, w).

    with capture_taps(backbone, ["early", "stage:-1"], images) as maps:
        backbone(images)
    maps["early"].shape

A tap is named by a module of the backbone ("blocks.3.0.conv_pwl"), by a stage ("stage:K", the K-th entry of
timm's ``feature_info``, negative from the end), or by a preset:

- MobileNetV3-Small: the projection convolutions that the Learn 2 Look report taps in Keras:
  those of blocks 3, 6 and 9, counted from 0;
- networks whose resolution falls from stage to stage: the third last, second last and last stage;
- networks of one resolution throughout (ViT): the block at one third, at two thirds, and the last.

Stages and presets are also found where timm's network is a part of another one (a wrapper, DataParallel).
"""

import difflib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from foveate.core.errors import ConfigError

PRESETS = ("early", "middle", "late")
_MOBILENETV3_SMALL = ("blocks.2.0.conv_pwl", "blocks.3.0.conv_pwl", "blocks.4.1.conv_pwl")
_PATCH = 4
"""Smallest stride, in px, of a convolution that cuts a picture into patches."""
_MOST_PREFIX = 16
"""Most prefix tokens that are believed where no one says their number."""
_ALWAYS_NCHW = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


def resolve_tap(backbone: nn.Module, name: str) -> str:
    """The path of the module in ``backbone`` that a tap's name means.

    Raises:
        ConfigError: there is no such module, stage or preset; close matches are named.
    """
    listed = name in PRESETS or name.startswith("stage:")
    if not listed and _module(backbone, name) is not None:
        return name
    place = timm_place(backbone)
    network = backbone.get_submodule(place)
    if name in PRESETS and _keras_points(network):
        path = _join(place, _MOBILENETV3_SMALL[PRESETS.index(name)])
    elif listed:
        path = _join(place, _entry_path(network, _entry(network, name)))
    else:
        stripped = name.removeprefix("module.").removeprefix("_orig_mod.").removeprefix("backbone.")
        path = stripped if _module(backbone, stripped) is not None else _join(place, stripped)
    if _module(backbone, path) is None:
        modules = [name for name, _ in backbone.named_modules() if name]
        close = difflib.get_close_matches(path, modules, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(close)}?" if close else f"use stage:K or {', '.join(PRESETS)}."
        raise ConfigError(f"The backbone {_architecture(backbone)} has no module {path or name!r}; {hint}")
    return path


def timm_place(network: nn.Module) -> str:
    """The path of timm's network inside of ``network``; "" where it is that itself, or holds none or several."""
    if getattr(network, "feature_info", None):
        return ""
    found: list[str] = []
    for path, module in network.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer in found)
        if not inside and _is_timms(module):
            found.append(path)
    return found[0] if len(found) == 1 else ""


@contextmanager
def capture_taps(
    backbone: nn.Module, names: Sequence[str], images: torch.Tensor, *, require_grad: bool = False
) -> Iterator[dict[str, torch.Tensor]]:
    """Yields a dict that the next forward pass over ``images`` (B, 3, H, W) fills with {name: (B, K, h, w)}.

    The maps lie on the path to the logits: ``torch.autograd.grad(logits, map)`` works, for tokens too (their
    prefix tokens go round the map). What the network computes from them is a copy, so a later in-place
    operation cannot change a map. Of a module that is called more than once the first call counts: a network that runs
    its backbone again, over a crop, gives the maps of the whole picture. The hooks are removed on leaving.

    Args:
        require_grad: let each map that does not yet require a gradient start a graph; then explanations of a
            frozen network go back to the tap and no further.

    Raises:
        ConfigError: an unknown name, a module that yields no map of the picture, or one that was not called.
    """
    maps: dict[str, torch.Tensor] = {}
    with ExitStack() as stack:
        for name in dict.fromkeys(names):
            path = resolve_tap(backbone, name)
            hook = _Hook(*_owner(backbone, path), name, maps, images, require_grad)
            stack.callback(backbone.get_submodule(path).register_forward_hook(hook).remove)
        yield maps
    silent = [name for name in names if name not in maps]
    if silent:
        raise ConfigError(
            f"Tap {silent[0]!r}: its module is never called by {_architecture(backbone)}; tap another."
        )


@contextmanager
def edit_tap(
    backbone: nn.Module,
    name: str,
    images: torch.Tensor,
    edit: Callable[[torch.Tensor], torch.Tensor],
    repeat: int = 1,
) -> Iterator[None]:
    """The next forward pass over ``images`` (B, 3, H, W) goes on from ``edit(map)`` instead of the map at ``name``.

    As in ``capture_taps`` the first call of a module counts; later ones are left as they are.

    Args:
        edit: (B·repeat, K, h, w) -> the same shape.
        repeat: every picture's map is there so many times in a row, and so is every later value: what lies before the
            tap is computed once. This needs a network in which nothing goes round the tap; compare before you trust.

    Raises:
        ConfigError: an unknown name, or a module that yields no map of the picture.
    """
    path = resolve_tap(backbone, name)
    repeated = images.repeat_interleave(repeat, dim=0) if repeat > 1 else images

    def hook(module: nn.Module, arguments: Any, output: Any) -> Any:
        handle.remove()
        if repeat > 1 and isinstance(output, torch.Tensor):
            output = output.repeat_interleave(repeat, dim=0)
        feature_map, rebuild = _split(*_owner(backbone, path), name, output, repeated)
        return rebuild(edit(feature_map))

    handle = backbone.get_submodule(path).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def to_map(backbone: nn.Module, path: str, output: Any, images: torch.Tensor) -> torch.Tensor:
    """What the module at ``path`` returned for ``images`` (B, 3, H, W), as (B, K, h, w).

    Raises:
        ConfigError: the output is no map of the picture (pooled, windowed, several tensors).
    """
    owner, inner = _owner(backbone, path)
    return _split(owner, inner, inner, output, images)[0]


def picture_shaped(feature_map: torch.Tensor, images: torch.Tensor) -> bool:
    """Whether (B, K, h, w) has the shape of the pictures (B, C, H, W), to rounding; heads x tokens have not."""
    (h, w), (height, width) = feature_map.shape[2:], images.shape[2:]
    return abs(h * width - w * height) < max(height, width)


def _owner(network: nn.Module, path: str) -> tuple[nn.Module, str]:
    """(timm's network that a module belongs to, its path there); of any other module the network itself."""
    if getattr(network, "feature_info", None):
        return network, path
    names = path.split(".")
    for depth in range(1, len(names)):
        owner = network.get_submodule(".".join(names[:depth]))
        if _is_timms(owner):
            return owner, ".".join(names[depth:])
    return network, path


def _is_timms(part: nn.Module) -> bool:
    return bool(getattr(part, "feature_info", None)) and hasattr(part, "forward_features")


def _join(place: str, path: str) -> str:
    return f"{place}.{path}" if place else path


class _Hook:
    """Stores one module's output as a map and hands the network an equal value computed from that map."""

    def __init__(
        self,
        backbone: nn.Module,
        path: str,
        name: str,
        maps: dict[str, torch.Tensor],
        images: torch.Tensor,
        require_grad: bool,
    ) -> None:
        self.backbone, self.path, self.name = backbone, path, name
        self.maps, self.images, self.require_grad = maps, images, require_grad

    def __call__(self, module: nn.Module, arguments: Any, output: Any) -> Any:
        if self.name in self.maps:
            return None  # a later call: what it returns stands
        feature_map, rebuild = _split(self.backbone, self.path, self.name, output, self.images)
        if self.require_grad and torch.is_grad_enabled() and not feature_map.requires_grad:
            feature_map = feature_map.detach().requires_grad_()
        self.maps[self.name] = feature_map
        return rebuild(feature_map)


Rebuild = Callable[[torch.Tensor], Any]


def _split(
    backbone: nn.Module, path: str, name: str, output: Any, images: torch.Tensor
) -> tuple[torch.Tensor, Rebuild]:
    """(map, function that makes the module's output again from a map)."""
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
        f"Tap {name!r} (module {path}) of {_architecture(backbone)} returns {_describe(output)}, "
        f"which is no map of {tuple(images.shape)} pictures; tap another module."
    )


def _expected(backbone: nn.Module, path: str, name: str) -> dict[str, Any]:
    """timm's num_chs and reduction of this output; the path "" means what ``forward_features`` returns."""
    if not path:
        return {"num_chs": getattr(backbone, "num_features", None)}
    if name.startswith("stage:") or (name in PRESETS and not _keras_points(backbone)):
        return _entry(backbone, name)
    return next((info for info in _feature_info(backbone) if _entry_path(backbone, info) == path), {})


def _fits(feature_map: torch.Tensor, info: dict[str, Any]) -> bool:
    return not info or feature_map.shape[1] == info["num_chs"]


def _split_tensor(
    backbone: nn.Module, path: str, output: Any, images: torch.Tensor, info: dict[str, Any]
) -> tuple[torch.Tensor, Rebuild] | None:
    if not isinstance(output, torch.Tensor) or output.ndim not in (3, 4) or len(output) != len(images):
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
    steps = [info["reduction"] for info in _feature_info(backbone)]
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


def _entry(backbone: nn.Module, name: str) -> dict[str, Any]:
    """The feature_info entry that "stage:K" or a preset means."""
    infos = _feature_info(backbone)
    if not infos:
        raise ConfigError(
            f"timm names no stages of {_architecture(backbone)}; give a module instead of {name!r}."
        )
    if name in PRESETS:
        position = PRESETS.index(name)
        if len({info["reduction"] for info in infos}) == 1 and len(infos) >= 3:
            return infos[math.ceil(len(infos) * (position + 1) / 3) - 1]
        return infos[max(len(infos) - 3 + position, 0)]
    try:
        return infos[int(name.removeprefix("stage:"))]
    except (ValueError, IndexError):
        raise ConfigError(
            f"Tap {name!r}: {_architecture(backbone)} has {len(infos)} stages; "
            f"write stage:K with K from {-len(infos)} to {len(infos) - 1}."
        ) from None


def _entry_path(backbone: nn.Module, info: dict[str, Any]) -> str:
    """A feature_info entry's module path, mended where timm names no callable module; it may not exist."""
    path = str(info["module"])
    for candidate in (path, path.replace("block.", "stages."), path.replace("block.", "blocks.")):
        if _module(backbone, candidate) is not None:
            path = candidate
            break
    while isinstance(entries := _module(backbone, path), nn.ModuleList):
        path = f"{path}.{len(entries) - 1}"  # a list is never called itself; its last entry is
    return path


def _module(backbone: nn.Module, path: str) -> nn.Module | None:
    try:
        return backbone.get_submodule(path) if path else None
    except AttributeError:
        return None


def _keras_points(backbone: nn.Module) -> bool:
    return "mobilenetv3_small" in _architecture(backbone)


def _feature_info(backbone: nn.Module) -> list[dict[str, Any]]:
    return list(getattr(backbone, "feature_info", None) or [])


def _architecture(backbone: nn.Module) -> str:
    config: Any = getattr(backbone, "pretrained_cfg", None) or {}
    return str(config.get("architecture") or type(backbone).__name__)


def _describe(output: Any) -> str:
    if isinstance(output, torch.Tensor):
        return f"a tensor {tuple(output.shape)}"
    if isinstance(output, tuple | list):
        return f"{len(output)} values"
    return f"a {type(output).__name__}"
