"""Probe: how explainers ask a network. Any network that maps (B, 3, H, W) to logits will do.

timm networks and ours are known inside out (stages, tokens, layouts); of any other module feature maps can be named by
their module.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.core.rng import key
from foveate.models.taps import capture_taps, resolve_tap, to_map

Progress = Callable[[int, int], None]
"""(steps done, steps in all), called now and then by slow methods."""

LOW = {"float16": torch.float16, "bfloat16": torch.bfloat16}

ALIASES = {"first": "stage:0", "second": "stage:1"}
"""Besides "last": the layer that is taken when none is named."""

_last_maps: "WeakKeyDictionary[nn.Module, dict[tuple[int, ...], str]]" = WeakKeyDictionary()


class Probe:
    """A network and how much of it may be computed at once."""

    def __init__(
        self,
        model: nn.Module,
        *,
        chunk: int = 32,
        precision: str = "float32",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """``chunk``: pictures in one pass. ``precision``: see ``foveate.explanation.explain``."""
        self.model = model
        self.backbone: nn.Module = getattr(model, "backbone", model)
        self.chunk = chunk
        self.precision = precision
        self.seed = seed
        self.report = progress or (lambda done, total: None)
        parameter = next(model.parameters(), torch.zeros(()))
        self.device, self.dtype = parameter.device, parameter.dtype
        convolutions = sum(isinstance(m, nn.Conv2d) for m in self.backbone.modules())
        self.memory_format = torch.channels_last if convolutions > 3 else torch.contiguous_format

    def place(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) on the network's device, in its type and the layout that suits its convolutions."""
        return images.to(device=self.device, dtype=self.dtype).contiguous(memory_format=self.memory_format)

    def generator(self, *purpose: int | str) -> torch.Generator:
        """A fresh generator on the CPU for this purpose: the same draws at every call."""
        return torch.Generator().manual_seed(key(self.seed, "explanation", *purpose))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, C) float32; differentiable where ``images`` is."""
        return as_logits(self.model(images)).float()

    def tapped(
        self, images: torch.Tensor, layers: Sequence[str]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Logits (B, C) and feature maps {layer: (B, K, h, w)}; with gradients on, logits depend on the maps.

        The graph begins at the first of the layers: nothing below it is kept or computed backwards.
        """
        with capture_taps(self.backbone, layers, images, require_grad=True) as maps:
            # A copy goes in: a network may begin with an in-place operation.
            logits = as_logits(self.model(images.clone())).float()
        return logits, maps

    def gradients(
        self, images: torch.Tensor, targets: torch.Tensor | None, layers: Sequence[str]
    ) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """{layer: (A, dS/dA)}, both (B, K, h, w) float32, from one forward and one backward pass.

        S is the logit of ``targets`` (B,), or of the predicted class where they are None.

        Raises:
            ConfigError: the logits do not depend on a layer.
        """
        with torch.enable_grad():
            logits, maps = self.tapped(images, layers)
            classes = logits.argmax(dim=1) if targets is None else targets
            score = logits.gather(1, classes[:, None]).sum()
            wanted = [maps[layer] for layer in layers]
            able = [tap for tap in wanted if tap.requires_grad and score.requires_grad]
            found = iter(torch.autograd.grad(score, able, allow_unused=True) if able else ())
        result = {}
        for layer, tap in zip(layers, wanted, strict=True):
            gradient = next(found) if tap.requires_grad and score.requires_grad else None
            if gradient is None:
                raise ConfigError(
                    f"The prediction does not depend on layer '{layer}'; choose one before the classifier."
                )
            result[layer] = (tap.detach().float(), gradient.float())
        return result

    def classes(self, images: torch.Tensor) -> int:
        """C, the number of classes."""
        known = getattr(getattr(self.model, "card", None), "classes", None)
        known = known or getattr(self.model, "num_classes", None)
        if isinstance(known, int) and known > 0:
            return known
        with torch.no_grad():
            return self.logits(images[:1].clone()).shape[1]

    def chunks(self, count: int) -> Iterator[slice]:
        """Slices of at most ``chunk`` that cover ``range(count)``."""
        return (slice(start, min(start + self.chunk, count)) for start in range(0, count, self.chunk))

    def resolve(self, layer: str | None, images: torch.Tensor) -> str:
        """The module path that a layer's name means: None or "last", "first", "second", a stage, a preset, a module.

        Raises:
            ConfigError: there is no such layer, or none can be chosen for this network.
        """
        if layer in (None, "last"):
            return default_layer(self.model, self.backbone, images)
        return resolve_tap(self.backbone, ALIASES.get(str(layer), str(layer)))


def as_logits(output: Any) -> torch.Tensor:
    """(B, C) from what a network returns: a tensor, our ``Output``, or several values of which the first counts."""
    if isinstance(output, torch.Tensor):
        return output
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, tuple | list) and output and isinstance(output[0], torch.Tensor):
        return output[0]
    raise ConfigError(
        f"The network returns a {type(output).__name__}; explanations need logits (B, C) as a tensor."
    )


def default_layer(model: nn.Module, backbone: nn.Module, images: torch.Tensor) -> str:
    """The last feature map that the prediction reads place by place.

    Convolutional and pooled networks: what ``forward_features`` returns, or else the last output that is a map. Where
    a class token alone is read, the patches of the last block no longer reach it; there it is the input of the last
    block's attention (its first norm), as everywhere in the literature.

    Raises:
        ConfigError: the network has no feature map, or its tokens are read in a way that is not known.
    """
    known = _last_maps.setdefault(model, {})
    shape = tuple(images.shape[2:])
    if shape not in known:
        known[shape] = _find_default(model, backbone, images[:1])
    return known[shape]


def _find_default(model: nn.Module, backbone: nn.Module, image: torch.Tensor) -> str:
    blocks = getattr(backbone, "blocks", None)
    if getattr(backbone, "global_pool", None) in ("token", "cls") and isinstance(
        blocks, nn.Sequential | nn.ModuleList
    ):
        last = len(blocks) - 1
        if hasattr(blocks[last], "norm1"):
            return f"blocks.{last}.norm1"
        return f"blocks.{last - 1}"
    outputs: list[tuple[str, Any]] = []
    hooks = [
        module.register_forward_hook(lambda m, i, output, path=path: outputs.append((path, output)))
        for path, module in backbone.named_modules()
        if path
    ]
    forward_features: Any = getattr(backbone, "forward_features", None)
    features: list[Any] = []
    try:
        with torch.no_grad():
            if forward_features is not None:
                features.append(forward_features(image.clone()))
            else:
                model(image.clone())
    finally:
        for hook in hooks:
            hook.remove()
    # The network's own last map first, by identity; else the last output that is a map of the picture.
    same = [path for path, output in outputs if features and output is features[0]]
    for path in [*reversed(same), *reversed([path for path, _ in outputs])]:
        output = next(value for name, value in reversed(outputs) if name == path)
        if _is_map(backbone, path, output, image):
            return path
    raise ConfigError(
        f"{type(backbone).__name__} has no output that is a map of the picture; name a layer (a module)."
    )


def _is_map(backbone: nn.Module, path: str, output: Any, image: torch.Tensor) -> bool:
    try:
        found = to_map(backbone, path, output, image)
    except ConfigError:
        return False
    return found.shape[2] * found.shape[3] > 1
