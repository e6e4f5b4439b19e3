"""Classifier: a timm backbone and a head, the network of every ordinary run.

model = build_classifier(ModelConfig(backbone="resnet18", weights="none"), classes=8, size=96, seed=0)
model(images).logits
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from foveate.core import torchvision_guard  # noqa: F401  (before timm)
from foveate.core.errors import ConfigError, FoveateError, WeightsError, first_line
from foveate.core.rng import torch_seeded
from foveate.data.catalog import composed
from foveate.models.card import Card
from foveate.models.heads import build_head
from foveate.models.order import record_order
from foveate.models.output import Output
from foveate.models.settings import ModelConfig
from foveate.models.taps import capture_taps, to_map
from foveate.models.tensors import Read, read_tensors
from foveate.models.twice import differentiable_twice, unfused_attention
from foveate.models.weights import (
    Weights,
    absent_parts,
    download_source,
    load_backbone,
    load_head,
    offline_message,
    resolve_weights,
)

import huggingface_hub  # isort: skip
import timm  # isort: skip

_RESERVED = (
    "num_classes",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "features_only",
    "img_size",
    "checkpoint_path",
    "cache_dir",
)


class Classifier(nn.Module):
    """A backbone without classifier, and a head.

    Attributes:
        backbone: timm's network with num_classes=0.
        head: features (B, F) -> logits (B, C).
        mean, std: (3,) in [0, 1] units; they move with the model and are kept in the card, not among the
        weights. input_size: side of the pictures in px that the network was built for.
        num_features: F.
        card: everything needed to build this network again.
        module_order: forward order of the backbone's modules (see ``order``).
        notes: automatic choices, in sentences for the user.
    """

    mean: torch.Tensor
    std: torch.Tensor
    branches: tuple[str, ...] = ()
    """Names of ``Output.branches`` that it gives in training."""

    def __init__(
        self, backbone: nn.Module, card: Card, classes: int, seed: int, notes: Sequence[str] = ()
    ) -> None:
        """Runs the backbone once, on a blank picture.

        Args:
            card: with input_size, mean, std, head and feature_mode.
            seed: of the head's random weights.

        Raises:
            ConfigError: the network cannot take pictures of this size.
            WeightsError: the features need a part whose weights are absent.
        """
        super().__init__()
        if card.input_size is None or card.mean is None or card.std is None or card.head is None:
            raise ValueError("the card of a Classifier needs input_size, mean, std and head")
        self.backbone: Any = backbone
        self.feature_mode = card.feature_mode or "pre_logits"
        self.input_size = card.input_size[1]
        self.notes = tuple(notes)
        removed = _remove(backbone, absent_parts(backbone, card))
        if self.feature_mode == "pooled":
            removed += _remove(backbone, self._unused_parts())
        shape: list[int] = []
        with torch.no_grad():
            self.module_order = record_order(backbone, lambda: shape.extend(self._try_features().shape))
        if len(shape) != 2:
            raise ConfigError(
                f"The backbone {card.architecture} with {card.architecture_kwargs} gives features of the shape "
                f"{tuple(shape)} for a picture, where the head needs (1, F); choose other backbone_kwargs."
            )
        self.num_features = shape[1]
        self.head = build_head(card.head, self.num_features, classes, seed)
        self.register_buffer("mean", torch.tensor(card.mean), persistent=False)
        self.register_buffer("std", torch.tensor(card.std), persistent=False)
        self.card = card.model_copy(
            update={"classes": classes, "features": self.num_features, "absent": removed}
        )
        self.train()

    def forward(
        self, images: torch.Tensor, taps: Sequence[str] = (), *, differentiable: bool = False
    ) -> Output:
        """images: (B, 3, H, W), normalised. taps: names as in ``foveate.models.taps``.

        ``differentiable``: logits can be differentiated with respect to the taps, also through frozen layers, and the
        result once more (see ``models.twice``).

        Raises:
            ConfigError: a tap is unknown or yields no map of the picture.
        """
        with unfused_attention(differentiable):
            if not taps:
                return Output(self.classify(self.features(images)))
            with capture_taps(self.backbone, taps, images, require_grad=differentiable) as maps:
                features = self.features(images)
            return Output(self.classify(features), taps=maps)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, F), what the head receives."""
        feature_map = self.backbone.forward_features(images)
        if self.feature_mode == "pre_logits":
            return self.backbone.forward_head(feature_map, pre_logits=True)
        return to_map(self.backbone, "", feature_map, images).mean((2, 3))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """(B, F) -> logits (B, C)."""
        return self.head(features)

    def tap_channels(self, tap: str) -> int:
        """K of a feature map (B, K, h, w), from one pass over a blank picture; modes are left as they are.

        Raises:
            ConfigError: the tap is unknown or yields no map of the picture.
        """
        modes = [(module, module.training) for module in self.modules()]
        images = torch.zeros(1, 3, self.input_size, self.input_size)
        try:
            with torch.no_grad(), capture_taps(self.backbone, [tap], images) as maps:
                self._try_features()
        finally:
            for module, mode in modes:
                module.training = mode
        return maps[tap].shape[1]

    def _try_features(self) -> torch.Tensor:
        self.backbone.eval()
        device = next(self.backbone.parameters()).device
        images = torch.zeros(1, 3, self.input_size, self.input_size, device=device)
        try:
            return self.features(images)
        except FoveateError:
            raise
        except Exception as error:  # what a network does with pictures that it was not made for
            raise ConfigError(
                f"The backbone {type(self.backbone).__name__} cannot take pictures of {self.input_size} px "
                f"({_reason(error)}); choose another size."
            ) from error

    def _unused_parts(self) -> tuple[str, ...]:
        """Modules whose parameters the pooled features do not depend on (they run after the last map)."""
        owners = [
            (name, list(module.parameters()))
            for name, module in self.backbone.named_modules()
            if name and not any(True for _ in module.children())
        ]
        with torch.enable_grad():
            total = self._try_features().sum()
            return tuple(
                name
                for name, parameters in owners
                if parameters
                and all(
                    g is None
                    for g in torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
                )
            )


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


def picture_size(config: ModelConfig, size: int | None) -> int:
    """Side in px of the pictures that the network will see: ``size``, or that of its weights.

    Raises:
        ConfigError, WeightsError: as ``build_classifier``, of the names alone; nothing is built or loaded.
    """
    if size is not None:
        return size
    weights = resolve_weights(config)
    default: Any = timm.models.get_pretrained_cfg(weights.architecture)
    card = weights.card
    native: int = card.input_size[1] if card and card.input_size else default.input_size[1]
    return native


def build_classifier(
    config: ModelConfig,
    classes: int,
    size: int | None,
    seed: int,
    class_ids: Sequence[str] = (),
    *,
    read: Read = read_tensors,
) -> Classifier:
    """The network that ``config`` describes, in training mode, on the CPU.

    Random weights depend on ``seed`` only: those of the head on key(seed, "head"), those of a backbone
    without weights on key(seed, "backbone"); the global random state is left as it was.

    Args:
        size: side of the pictures in px; None: that of the weights.
        class_ids: in the order of the logits, for ``config.keep_head``.
        read: of the weights file; one that keeps what it read where the caller needs that, too.

    Raises:
        ConfigError: unknown backbone or arguments, a size the network cannot take, an unknown head.
        WeightsError: weights that are missing, damaged or of another network.
    """
    weights = resolve_weights(config)
    card = weights.card
    kwargs = {**(card.architecture_kwargs if card else {}), **config.backbone_kwargs}
    if "in_chans" in kwargs:
        raise ConfigError(
            "backbone_kwargs may not hold 'in_chans': training sees three channels, and grey pictures have three equal "
            "ones. (foveate.explain takes networks of any number of channels.)"
        )
    for name in _RESERVED:
        if name in kwargs:
            raise ConfigError(
                f"backbone_kwargs may not hold {name!r}; it follows from the data and the other settings."
            )
    default: Any = timm.models.get_pretrained_cfg(weights.architecture)
    size = picture_size(config, size)
    with torch_seeded(seed, "backbone"):
        backbone = _create(weights, size, default, kwargs)
    differentiable_twice(backbone)
    notes: list[str] = []
    left_out: list[str] = []
    if weights.file:
        tensors = read(weights.file)
        left_out = load_backbone(backbone, tensors, card, str(weights.file))
    absent = absent_parts(backbone, card)
    mode = config.features
    if mode == "auto":
        mode = "pooled" if absent else "pre_logits"
        if absent:
            notes.append(
                f"The weights lack {', '.join(absent)}: the head receives the pooled last feature map."
            )
    if weights.file and card is None and not (config.mean and config.std):
        notes.append(
            f"{weights.file} has no card: timm's mean {default.mean} and std {default.std} are used."
        )
    own = Card(
        architecture=weights.architecture,
        architecture_kwargs=kwargs,
        pretrained_on=_origin(weights),
        input_size=(3, size, size),
        mean=config.mean or (card and card.mean) or default.mean,
        std=config.std or (card and card.std) or default.std,
        absent=absent,
        head=config.head,
        feature_mode=mode,
    )
    other = _other_head(card, own, class_ids) if config.keep_head else "it was not asked for"
    if config.keep_head and other:
        left_out.append(f"The head of {config.weights} is not taken over: {other}.")
    model = Classifier(backbone, own, classes, seed, [*notes, *left_out] if other else notes)
    if weights.file and not other:
        model.notes += tuple(load_head(model, tensors, str(weights.file)))
    return model


def _other_head(card: Card | None, own: Card, class_ids: Sequence[str]) -> str:
    """Why the head that ``card`` describes cannot go on as ``own``'s; "" when it can."""
    if card is None or card.head is None:
        return "its card describes no head"
    if not class_ids or [composed(name) for name in card.class_ids or ()] != [
        composed(name) for name in class_ids
    ]:
        return f"it was trained for other classes than these {len(class_ids)}"
    if (card.head, card.feature_mode) != (own.head, own.feature_mode):
        return "it is built in another way (model.head, model.features)"
    return ""


def _create(weights: Weights, size: int, default: Any, kwargs: dict[str, Any]) -> nn.Module:
    name = weights.architecture
    arguments = {"num_classes": 0, **kwargs}
    if default.fixed_input_size:
        arguments["img_size"] = size
    if weights.download:
        arguments |= {"pretrained": True, "pretrained_cfg_overlay": download_source(name)}
    try:
        return timm.create_model(name, **arguments)
    except (OSError, huggingface_hub.errors.HfHubHTTPError) as error:
        raise WeightsError(offline_message(name)) from error
    except Exception as error:  # what timm's networks make of strange arguments
        raise ConfigError(
            f"timm cannot build {name!r} for pictures of {size} px with {kwargs}: {_reason(error)}."
        ) from error


def _remove(backbone: nn.Module, parts: Sequence[str]) -> tuple[str, ...]:
    for path in parts:
        parent, _, name = path.rpartition(".")
        setattr(backbone.get_submodule(parent), name, _Absent(path))
    return tuple(parts)


def _origin(weights: Weights) -> str | None:
    if weights.download:
        default: Any = timm.models.get_pretrained_cfg(weights.architecture)
        return f"timm: {default.tag or weights.architecture}"
    return weights.card.pretrained_on if weights.card else (weights.file.name if weights.file else None)


def _reason(error: Exception) -> str:
    """In one line, with the kind of error where the words alone mean nothing (a key that is missing)."""
    kind, words = type(error).__name__, first_line(error)
    return f"{kind} {words}" if isinstance(error, LookupError) and words != kind else words
