"""Layers by name: which module of a timm backbone a name means.

A layer is named by a module of the backbone ("blocks.3.0.conv_pwl"), by a stage ("stage:K", the K-th entry of
timm's ``feature_info``, negative from the end), or by a preset:

- MobileNetV3-Small: the projection convolutions that the Learn 2 Look report taps in Keras:
  those of blocks 3, 6 and 9, counted from 0;
- networks whose resolution falls from stage to stage: the third last, second last and last stage;
- networks of one resolution throughout (ViT): the block at one third, at two thirds, and the last.

Stages and presets are also found where timm's network is a part of another one (a wrapper, DataParallel).
"""

import difflib
import math
from typing import Any

from torch import nn

from foveate.core.errors import ConfigError

PRESETS = ("early", "middle", "late")
_MOBILENETV3_SMALL = ("blocks.2.0.conv_pwl", "blocks.3.0.conv_pwl", "blocks.4.1.conv_pwl")


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
    if name in PRESETS and keras_points(network):
        path = _join(place, _MOBILENETV3_SMALL[PRESETS.index(name)])
    elif listed:
        path = _join(place, entry_path(network, stage_entry(network, name)))
    else:
        stripped = name.removeprefix("module.").removeprefix("_orig_mod.").removeprefix("backbone.")
        path = stripped if _module(backbone, stripped) is not None else _join(place, stripped)
    if _module(backbone, path) is None:
        modules = [name for name, _ in backbone.named_modules() if name]
        close = difflib.get_close_matches(path, modules, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(close)}?" if close else f"use stage:K or {', '.join(PRESETS)}."
        raise ConfigError(f"The backbone {architecture(backbone)} has no module {path or name!r}; {hint}")
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


def owner_of(network: nn.Module, path: str) -> tuple[nn.Module, str]:
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


def stage_entry(backbone: nn.Module, name: str) -> dict[str, Any]:
    """The feature_info entry that "stage:K" or a preset means."""
    infos = feature_info(backbone)
    if not infos:
        raise ConfigError(
            f"timm names no stages of {architecture(backbone)}; give a module instead of {name!r}."
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
            f"Tap {name!r}: {architecture(backbone)} has {len(infos)} stages; "
            f"write stage:K with K from {-len(infos)} to {len(infos) - 1}."
        ) from None


def entry_path(backbone: nn.Module, info: dict[str, Any]) -> str:
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


def keras_points(backbone: nn.Module) -> bool:
    return "mobilenetv3_small" in architecture(backbone)


def feature_info(backbone: nn.Module) -> list[dict[str, Any]]:
    return list(getattr(backbone, "feature_info", None) or [])


def architecture(backbone: nn.Module) -> str:
    config: Any = getattr(backbone, "pretrained_cfg", None) or {}
    return str(config.get("architecture") or type(backbone).__name__)
