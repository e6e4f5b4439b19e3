"""Backbone: timm's network without its classifier, tried out; what every network of ours is built on."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from foveate.core.errors import ConfigError, FoveateError, WeightsError, first_line
from foveate.models.card import Card
from foveate.models.feature_maps import to_map


class Backbone:
    """A backbone whose weights are in place.

    Attributes:
        module: timm's network with num_classes=0.
        card: what it is and how pictures are prepared for it; ``input_size``, ``mean``, ``std``, ``feature_mode`` and
            ``features`` are set.
        order: forward order of the modules (see ``record_order``).
        notes: automatic choices, in sentences for the user.
    """

    def __init__(self, module: nn.Module, card: Card, notes: Sequence[str] = ()) -> None:
        """Runs the network once, on a blank picture.

        Args:
            card: with input_size, mean, std and feature_mode; ``absent`` names the parts without weights.

        Raises:
            ConfigError: the network cannot take pictures of this size.
            WeightsError: the features need a part whose weights are absent.
        """
        self.module, self.card, self.notes = module, card, tuple(notes)
        removed = _remove(module, card.absent)
        if card.feature_mode == "pooled":
            removed += _remove(module, self._unused_parts())
        shape: list[int] = []
        with torch.no_grad():
            self.order = record_order(module, lambda: shape.extend(self._try().shape))
        if len(shape) != 2:
            raise ConfigError(
                f"The backbone {card.architecture} with {card.architecture_kwargs} gives features of the shape "
                f"{tuple(shape)} for a picture, where the head needs (1, F); choose other backbone_kwargs."
            )
        self.card = card.model_copy(update={"features": shape[1], "absent": removed})

    def _try(self) -> torch.Tensor:
        assert self.card.input_size is not None
        side = self.card.input_size[1]
        self.module.eval()
        try:
            return features(self.module, self.card.feature_mode, torch.zeros(1, 3, side, side))
        except FoveateError:
            raise
        except Exception as error:  # what a network does with pictures that it was not made for
            raise ConfigError(
                f"The backbone {type(self.module).__name__} cannot take pictures of {side} px ({reason(error)}); "
                "choose another size."
            ) from error

    def _unused_parts(self) -> tuple[str, ...]:
        """Modules whose parameters the pooled features do not depend on (they run after the last map)."""
        owners = [
            (name, list(module.parameters()))
            for name, module in self.module.named_modules()
            if name and not any(True for _ in module.children())
        ]
        with torch.enable_grad():
            total = self._try().sum()
            return tuple(
                name
                for name, parameters in owners
                if parameters
                and all(
                    g is None
                    for g in torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
                )
            )


def features(module: Any, mode: str | None, images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) -> (B, F): what timm's own classifier would receive, or the mean of the last map ("pooled")."""
    feature_map = module.forward_features(images)
    if mode == "pooled":
        return to_map(module, "", feature_map, images).mean((2, 3))
    pooled: torch.Tensor = module.forward_head(feature_map, pre_logits=True)
    return pooled


def reason(error: Exception) -> str:
    """In one line, with the kind of error where the words alone mean nothing (a key that is missing)."""
    kind, words = type(error).__name__, first_line(error)
    return f"{kind} {words}" if isinstance(error, LookupError) and words != kind else words


class _Absent(nn.Module):
    """Stands where a part without weights was; using it is an error, never a silent detour."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, *_: object, **__: object) -> torch.Tensor:
        raise WeightsError(
            f"The features asked for need {self.name!r}, whose weights are absent from the file; "
            "use features 'pooled', or other weights."
        )


def _remove(module: nn.Module, parts: Sequence[str]) -> tuple[str, ...]:
    for path in parts:
        parent, _, name = path.rpartition(".")
        setattr(module.get_submodule(parent), name, _Absent(path))
    return tuple(parts)


def record_order(network: nn.Module, run: Callable[[], object]) -> dict[str, int]:
    """{module path: position} of all modules, by when each finishes its last call during ``run()``.

    The order in which modules are *defined* is not always the order in which they run (Twins defines all its patch
    embeddings first), and freezing "everything up to here" must mean the running order.

    A module that is never called itself (its parameters are read by its parent, or it is a mere list) gets
    its nearest called ancestor's position. The root has position -1: parameters that it owns itself (class
    token, position embedding) count as the very first layer; modules that ``run`` does not reach come last.
    """
    finished: dict[str, int] = {}
    clock = iter(range(1_000_000_000))

    def stamp(path: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            finished[path] = next(clock)

        return hook

    paths = {path: module for path, module in network.named_modules() if path}
    hooks = [module.register_forward_hook(stamp(path)) for path, module in paths.items()]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    last = next(clock)

    def position(path: str) -> int:
        while path:
            if path in finished:
                return finished[path]
            path = path.rpartition(".")[0]
        return last

    return {"": -1} | {path: position(path) for path in paths}
