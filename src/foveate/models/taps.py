"""Taps: feature maps from the inside of any timm backbone, always as (B, K, h, w).

    with capture_taps(backbone, ["early", "stage:-1"], images) as maps:
        backbone(images)
    maps["early"].shape

A tap is a layer whose feature map is captured; see ``layer_names`` for its names.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.models.feature_maps import as_map
from foveate.models.layer_names import architecture, resolve_tap


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

    def keep(name: str, path: str) -> Callable[..., Any]:
        def hook(module: nn.Module, arguments: Any, output: Any) -> Any:
            if name in maps:
                return None  # a later call: what it returns stands
            feature_map, rebuild = as_map(backbone, path, name, output, images)
            if require_grad and torch.is_grad_enabled() and not feature_map.requires_grad:
                feature_map = feature_map.detach().requires_grad_()
            maps[name] = feature_map
            return rebuild(feature_map)

        return hook

    with ExitStack() as stack:
        for name in dict.fromkeys(names):
            path = resolve_tap(backbone, name)
            stack.callback(backbone.get_submodule(path).register_forward_hook(keep(name, path)).remove)
        yield maps
    silent = [name for name in names if name not in maps]
    if silent:
        raise ConfigError(
            f"Tap {silent[0]!r}: its module is never called by {architecture(backbone)}; tap another."
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
        feature_map, rebuild = as_map(backbone, path, name, output, repeated)
        return rebuild(edit(feature_map))

    handle = backbone.get_submodule(path).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
