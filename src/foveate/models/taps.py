"""Taps: feature maps from the inside of any timm backbone, always as (B, K, h, w).

    with capture_taps(backbone, ["early", "stage:-1"], images) as maps:
        backbone(images)
    maps["early"].shape

A tap is named by a module of the backbone ("blocks.3.0.conv_pwl"), by a stage ("stage:K", the K-th entry of timm's
``feature_info``, negative from the end), or by a preset:

- MobileNetV3-Small: the projection convolutions that the Learn 2 Look report taps (METHODS 1.2 of the design notes):
  blocks 3, 6 and 9 counted as Keras does;
- networks whose resolution falls from stage to stage: the third last, second last and last stage;
- networks of one resolution throughout (ViT): the block at one third, at two thirds, and the last.
"""

import difflib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from foveate.core.errors import ConfigError

PRESETS = ("early", "middle", "late")
_MOBILENETV3_SMALL = ("blocks.2.0.conv_pwl", "blocks.3.0.conv_pwl", "blocks.4.1.conv_pwl")
_ALWAYS_NCHW = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


def resolve_tap(backbone: nn.Module, name: str) -> str:
    """The path of the module in ``backbone`` that a tap's name means.

    Raises:
        ConfigError: there is no such module, stage or preset; close matches are named.
    """
    if name in PRESETS:
        return _preset(backbone, name)
    if name.startswith("stage:"):
        return _stage(backbone, name)
    path = name.removeprefix("backbone.")
    modules = dict(backbone.named_modules())
    if not path or path not in modules:
        close = difflib.get_close_matches(path, modules, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(close)}?" if close else f"use stage:K or {', '.join(PRESETS)}."
        raise ConfigError(f"The backbone {_architecture(backbone)} has no module {name!r}; {hint}")
    return path


@contextmanager
def capture_taps(
    backbone: nn.Module, names: Sequence[str], images: torch.Tensor, *, require_grad: bool = False
) -> Iterator[dict[str, torch.Tensor]]:
    """Yields a dict that the next forward pass over ``images`` (B, 3, H, W) fills with {name: (B, K, h, w)}.

    The maps lie on the path to the logits: ``torch.autograd.grad(logits, map)`` works, for tokens too (their prefix
    tokens go round the map). What the network computes from them is a copy, so a later in-place operation cannot
    change a map. A module that is called more than once leaves its last output. The hooks are removed on leaving.

    Args:
        require_grad: let each map that does not yet require a gradient start a graph; then explanations of a frozen
            network go back to the tap and no further.

    Raises:
        ConfigError: an unknown name, a module that yields no map of the picture, or one that was not called.
    """
    maps: dict[str, torch.Tensor] = {}
    with ExitStack() as stack:
        for name in dict.fromkeys(names):
            path = resolve_tap(backbone, name)
            hook = _Hook(backbone, path, name, maps, images, require_grad)
            stack.callback(backbone.get_submodule(path).register_forward_hook(hook).remove)
        yield maps
    silent = [name for name in names if name not in maps]
    if silent:
        raise ConfigError(
            f"Tap {silent[0]!r}: its module is not called in a forward pass of {_architecture(backbone)}; tap another."
        )


def to_map(backbone: nn.Module, path: str, output: Any, images: torch.Tensor) -> torch.Tensor:
    """What the module at ``path`` returned for ``images`` (B, 3, H, W), as (B, K, h, w).

    Raises:
        ConfigError: the output is no map of the picture (pooled, windowed, several tensors).
    """
    return _split(backbone, path, path, output, images)[0]


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
    channels = _known_channels(backbone, path)
    if isinstance(output, tuple | list):
        for position, part in enumerate(output):
            split = _split_tensor(backbone, path, part, images, channels)
            if split is not None and channels in (None, split[0].shape[1]):
                feature_map, inner = split

                def rebuild(new: torch.Tensor, inner: Rebuild = inner, position: int = position) -> Any:
                    return type(output)(inner(new) if i == position else old for i, old in enumerate(output))

                return feature_map, rebuild
    else:
        split = _split_tensor(backbone, path, output, images, channels)
        if split is not None:
            return split
    raise ConfigError(
        f"Tap {name!r} (module {path}) of {_architecture(backbone)} returns {_describe(output)}, "
        f"which is no map of {tuple(images.shape)} pictures; tap another module."
    )


def _known_channels(backbone: nn.Module, path: str) -> int | None:
    """timm's own channel count for this module's output; the path "" means what ``forward_features`` returns."""
    if not path:
        return getattr(backbone, "num_features", None)  # type: ignore[return-value]
    return next(
        (info["num_chs"] for info in _feature_info(backbone) if _entry_path(backbone, info) == path), None
    )


def _split_tensor(
    backbone: nn.Module, path: str, output: Any, images: torch.Tensor, channels: int | None
) -> tuple[torch.Tensor, Rebuild] | None:
    if not isinstance(output, torch.Tensor) or output.ndim not in (3, 4) or len(output) != len(images):
        return None
    if output.ndim == 3:
        return _split_tokens(backbone, output, images)
    if _is_nhwc(backbone, path, output, images, channels):
        return output.permute(0, 3, 1, 2), lambda new: new.permute(0, 2, 3, 1).clone()
    return output, torch.clone


def _is_nhwc(
    backbone: nn.Module, path: str, output: torch.Tensor, images: torch.Tensor, channels: int | None
) -> bool:
    """Known operators first, then timm's channel count, then the axes shaped like the picture, then timm's layout."""
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
    backbone: nn.Module, tokens: torch.Tensor, images: torch.Tensor
) -> tuple[torch.Tensor, Rebuild] | None:
    """(B, P + h·w, K) -> map (B, K, h, w); the P prefix tokens (class, distillation, registers) go round it."""
    height, width = images.shape[2:]
    # Some networks add their class token late (CaiT, XCiT) or do not count it (VOLO): hence 0 and 1.
    for prefix in dict.fromkeys((int(getattr(backbone, "num_prefix_tokens", 0) or 0), 0, 1)):
        grid = _grid(backbone, tokens.shape[1] - prefix, height, width)
        if grid is not None:
            head, patches = tokens[:, :prefix], tokens[:, prefix:]
            feature_map = patches.transpose(1, 2).unflatten(2, grid).contiguous()

            def rebuild(new: torch.Tensor, head: torch.Tensor = head) -> torch.Tensor:
                return torch.cat([head, new.flatten(2).transpose(1, 2)], dim=1)

            return feature_map, rebuild
    return None


def _grid(backbone: nn.Module, count: int, height: int, width: int) -> tuple[int, int] | None:
    """(h, w) with h·w == count: the patch embedding's own, a stage's by its reduction, or one shaped like the picture."""
    candidates: list[tuple[int, int]] = []
    embed: Any = getattr(backbone, "patch_embed", None)
    if hasattr(embed, "dynamic_feat_size"):
        candidates.append(tuple(embed.dynamic_feat_size((height, width))))
    for info in _feature_info(backbone):
        step = info["reduction"]
        candidates.append((math.ceil(height / step), math.ceil(width / step)))
    ideal = math.sqrt(max(count, 0) * height / width)
    candidates += [(h, count // h) for h in (math.floor(ideal), math.ceil(ideal)) if h and count % h == 0]
    fitting = [grid for grid in candidates if count > 0 and grid[0] * grid[1] == count]
    return fitting[0] if fitting else None


def _stage(backbone: nn.Module, name: str) -> str:
    infos = _feature_info(backbone)
    text = name.removeprefix("stage:")
    try:
        return _entry_path(backbone, infos[int(text)])
    except (ValueError, IndexError):
        raise ConfigError(
            f"Tap {name!r}: {_architecture(backbone)} has {len(infos)} stages; "
            f"write stage:K with K from {-len(infos)} to {len(infos) - 1}."
        ) from None


def _preset(backbone: nn.Module, name: str) -> str:
    position = PRESETS.index(name)
    if "mobilenetv3_small" in _architecture(backbone):
        return resolve_tap(backbone, _MOBILENETV3_SMALL[position])
    infos = _feature_info(backbone)
    if not infos:
        raise ConfigError(
            f"timm names no stages of {_architecture(backbone)}; give a module's name instead of {name!r}."
        )
    if len({info["reduction"] for info in infos}) == 1 and len(infos) >= 3:
        index = math.ceil(len(infos) * (position + 1) / 3) - 1
    else:
        index = max(len(infos) - 3 + position, 0)
    return _entry_path(backbone, infos[index])


def _entry_path(backbone: nn.Module, info: dict[str, Any]) -> str:
    """A feature_info entry's module path, mended where timm's entry names no callable module."""
    path = str(info["module"])
    modules = dict(backbone.named_modules())
    for candidate in (path, path.replace("block.", "stages."), path.replace("block.", "blocks.")):
        if candidate in modules:
            path = candidate
            break
    while isinstance(modules.get(path), nn.ModuleList):  # a list is never called itself; its last entry is
        path = f"{path}.{len(modules[path]) - 1}"  # type: ignore[arg-type]
    return path


def _feature_info(backbone: nn.Module) -> list[dict[str, Any]]:
    return list(getattr(backbone, "feature_info", None) or [])  # type: ignore[call-overload]


def _architecture(backbone: nn.Module) -> str:
    config: Any = getattr(backbone, "pretrained_cfg", None) or {}
    return str(config.get("architecture") or type(backbone).__name__)


def _describe(output: Any) -> str:
    if isinstance(output, torch.Tensor):
        return f"a tensor {tuple(output.shape)}"
    if isinstance(output, tuple | list):
        return f"{len(output)} values"
    return f"a {type(output).__name__}"
