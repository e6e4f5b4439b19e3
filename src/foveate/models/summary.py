"""A network in a table: its parts in forward order, what they return, how many parameters they have."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from foveate.models.modes import evaluating
from foveate.models.networks import Network

LONGEST = 24
"""Rows above which parts are shown as wholes instead of piece by piece."""


@dataclass(frozen=True)
class SummaryRow:
    """One part."""

    name: str
    """Path from the model."""
    kind: str
    """Class of the module."""
    shape: tuple[int, ...] | None
    """Of what it returns for one picture, without the batch axis; None where that is no tensor."""
    parameters: int


@dataclass(frozen=True)
class NetworkSummary:
    """``parameters`` of all rows sum to the whole."""

    rows: tuple[SummaryRow, ...]
    parameters: int

    def text(self) -> str:
        """Lines for people, as Keras prints a network."""
        cells = [
            (r.name, r.kind, " x ".join(map(str, r.shape or ())), f"{r.parameters:,}" if r.parameters else "")
            for r in self.rows
        ]
        a, b, c, d = (max(map(len, column)) for column in zip(*cells, strict=True))
        lines = [
            f"{name:<{a}}  {kind:<{b}}  {shape:<{c}}  {count:>{d}}" for name, kind, shape, count in cells
        ]
        return "\n".join([*lines, f"{self.parameters:,} parameters"])


def summarise_network(model: Network) -> NetworkSummary:
    """The parts of ``model``, as deep as fits on a screen: those with parameters, and those that change the shape.

    Runs it once on a blank picture; modes stay as they are.
    """
    parts = _parts(model)
    shapes: dict[str, tuple[int, ...]] = {}

    def remember(name: str, module: nn.Module, arguments: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            shapes.setdefault(name, tuple(output.shape[1:]))

    images = torch.zeros(1, 3, model.input_size, model.input_size, device=model.mean.device)
    with ExitStack() as hooks, evaluating(model), torch.no_grad():
        for name in parts:
            hook = model.get_submodule(name).register_forward_hook(partial(remember, name))
            hooks.callback(hook.remove)
        # Of other networks the backbone alone: what more they do may ask for a picture with something on it.
        (model if model.stores_features else model.features)(images)
    found: list[SummaryRow] = []
    shape = None
    for name in parts:
        module = model.get_submodule(name)
        count = sum(p.numel() for p in module.parameters())
        if count or (name in shapes and shapes[name] != shape):
            found.append(SummaryRow(name, type(module).__name__, shapes.get(name), count))
        shape = shapes.get(name, shape)
    # Parameters that no row owns (class tokens, position embeddings) are the backbone's own.
    total = sum(p.numel() for p in model.parameters())
    rest = total - sum(row.parameters for row in found)
    if rest:
        found.insert(0, SummaryRow("backbone", "own parameters", None, rest))
    return NetworkSummary(tuple(found), total)


def _parts(model: Network) -> list[str]:
    """Paths of disjoint modules in forward order: the deepest level that has at most ``LONGEST`` rows."""
    parts = [name for name, _ in model.named_children()]
    while True:
        deeper = [inner for name in parts for inner in _inside(model, name)]
        if len(deeper) > LONGEST or deeper == parts:
            break
        parts = deeper
    order = {name: place for place, name in enumerate(parts)}

    def position(name: str) -> tuple[int, int]:
        if not name.startswith("backbone."):
            return (1, order[name])
        return (0, model.module_order.get(name.removeprefix("backbone."), -1))

    return sorted(parts, key=position)


def _inside(model: nn.Module, name: str) -> list[str]:
    module = model.get_submodule(name)
    children = [f"{name}.{child}" for child, _ in module.named_children()]
    own = name != "backbone" and any(True for _ in module.parameters(recurse=False))
    return children if children and not own else [name]
