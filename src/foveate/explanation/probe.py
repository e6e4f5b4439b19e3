"""Probe: how explainers ask a network. Any network that maps (B, 3, H, W) to logits will do.

timm networks and ours are known inside out (stages, tokens, layouts), also as parts of a wrapper; of any other module
feature maps can be named by their module.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.core.rng import key
from foveate.explanation.layers import find_layer
from foveate.explanation.maps import map_gradients
from foveate.models.layer_names import resolve_tap, timm_place
from foveate.models.networks import Network
from foveate.models.output import Output
from foveate.models.taps import capture_taps

Progress = Callable[[int, int], None]
"""(steps done, steps in all), called now and then by slow methods."""

LOW = {"float16": torch.float16, "bfloat16": torch.bfloat16}

PREDICTED = -1
"""In place of a class: the one that the network names."""


class Probe:
    """A network and how much of it may be computed at once.

    Attributes:
        model: the network that is asked. Of a compiled or DataParallel one: the network inside, since hooks work there.
        root: the module in which layers are named: of ours the backbone, else the whole network.
        backbone: timm's network in it, which says what it was built for; else ``root``.
        classes: the logits must belong to so many classes at least.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        chunk: int = 32,
        precision: str = "float32",
        seed: int = 0,
        progress: Progress | None = None,
        references: torch.Tensor | None = None,
    ) -> None:
        """``chunk``: pictures in one pass. ``precision``, ``references``: see ``foveate.explanation.explain``."""
        self.model = original(model)
        self.root: nn.Module = self.model.backbone if isinstance(self.model, Network) else self.model
        self.backbone = self.root.get_submodule(timm_place(self.root))
        self.classes = 1
        self.chunk = chunk
        self.precision = precision
        self.seed = seed
        self.references = references
        self.report = progress or (lambda done, total: None)
        parameter = next(model.parameters(), torch.zeros(()))
        self.device, self.dtype = parameter.device, parameter.dtype
        convolutions = sum(isinstance(m, nn.Conv2d) for m in self.root.modules())
        self.memory_format = torch.channels_last if convolutions > 3 else torch.contiguous_format

    def place(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) on the network's device, in its type and the layout that suits its convolutions."""
        if images.is_inference():
            images = images.clone()  # a tensor made in inference_mode can have no gradient
        return images.to(device=self.device, dtype=self.dtype).contiguous(memory_format=self.memory_format)

    def generator(self, *purpose: int | str) -> torch.Generator:
        """A fresh generator on the CPU for this purpose: the same draws at every call."""
        return torch.Generator().manual_seed(key(self.seed, "explanation", *purpose))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, C) float32; differentiable where ``images`` is."""
        return self.read(self.model(images))

    def local(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C) float32: the logits that belong to the maps of the whole picture (see ``Output.local``)."""
        return self.read(_local(self.model(images)))

    def read(self, output: Any) -> torch.Tensor:
        """(B, C) float32: the logits in what the network returned.

        Raises:
            ConfigError: it is not plain which tensor they are, or there are fewer than ``classes``.
        """
        logits = as_logits(output).float()
        if logits.shape[1] < self.classes:
            raise ConfigError(
                f"targets holds class {self.classes - 1}; the network has classes 0 to {logits.shape[1] - 1}."
            )
        return logits

    def tapped(
        self, images: torch.Tensor, layers: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Local logits and those that decide, (B, C) each, and feature maps {layer: (B, K, h, w)}; with gradients on,
        logits depend on the maps.

        The graph begins at the first of the layers: nothing below it is kept or computed backwards.
        """
        with capture_taps(self.root, layers, images, require_grad=True) as maps:
            # A copy goes in: a network may begin with an in-place operation.
            output = self.model(images.clone())
        return self.read(_local(output)), self.read(output), maps

    def gradients(
        self, images: torch.Tensor, targets: torch.Tensor, layers: Sequence[str]
    ) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """{layer: (A, dS/dA)}, both (B, K, h, w) float32, from one forward and one backward pass.

        S is the local logit of ``targets`` (B,).

        Raises:
            ConfigError: the logits do not depend on a layer.
        """
        with torch.enable_grad():
            local, decides, maps = self.tapped(images, layers)
            found = map_gradients(score_of(local, decides, targets).sum(), maps, layers)
        return {
            layer: (maps[layer].detach().float(), g.float()) for layer, g in zip(layers, found, strict=True)
        }

    def chunks(self, count: int) -> Iterator[slice]:
        """Slices of at most ``chunk`` that cover ``range(count)``."""
        return (slice(start, min(start + self.chunk, count)) for start in range(0, count, self.chunk))

    def resolve(self, layer: str | None, images: torch.Tensor) -> str:
        """The module path that a layer's name means: None or "last", "first", "second" (see ``layers``), a stage, a
        preset, a module.

        Raises:
            ConfigError: there is no such layer, or none can be chosen for this network.
        """
        if layer in (None, "first", "second", "last"):
            return find_layer(self.logits, self.root, layer or "last", images)
        return resolve_tap(self.root, layer)


def original(model: nn.Module) -> nn.Module:
    """The network inside of ``torch.compile``, DataParallel and DistributedDataParallel; else ``model``."""
    inside: Any = getattr(model, "_orig_mod", None)
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inside = model.module
    return original(inside) if isinstance(inside, nn.Module) else model


def score_of(logits: torch.Tensor, decides: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(B,) the logits (B, C) of the classes ``targets`` (B,), of which ``PREDICTED`` is the one that ``decides`` (B, C)
    names."""
    classes = torch.where(targets == PREDICTED, decides.argmax(dim=1), targets)
    return logits.gather(1, classes[:, None])[:, 0]


def _local(output: Any) -> Any:
    return output.local if isinstance(output, Output) else output


def as_logits(output: Any) -> torch.Tensor:
    """(B, C) from what a network returns: a tensor (one logit may come as (B,)), our ``Output`` or anything else with
    ``logits``, or several values of which one is a (B, C) tensor. Where several are and agree in C the first counts, as
    in networks with auxiliary classifiers.

    Raises:
        ConfigError: there is no such tensor, or it cannot be told which one is meant.
    """
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, torch.Tensor):
        output = named
    given = output.values() if isinstance(output, Mapping) else output
    several = given if isinstance(output, Mapping | tuple | list) else [output]
    values = [value for value in several if isinstance(value, torch.Tensor)]
    tables = [value for value in values if value.ndim == 2] or [value for value in values if value.ndim == 1]
    if tables and tables[0].is_floating_point() and len({value.shape[1:] for value in tables}) == 1:
        return tables[0] if tables[0].ndim == 2 else tables[0][:, None]
    shown = " and ".join(f"{str(v.dtype).removeprefix('torch.')} {tuple(v.shape)}" for v in values)
    raise ConfigError(
        f"The network returns {shown or type(output).__name__}; which tensor holds the logits (B, C) cannot be told "
        "from that: wrap the network in a module that returns them alone."
    )
