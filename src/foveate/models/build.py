"""From settings to a network: timm's backbone with its weights, and what ``model.network`` builds on it.

model = build_network(ModelConfig(backbone="resnet18", weights="none"), classes=8, size=96, seed=0)
model(images).logits
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from foveate.core import torchvision_guard  # noqa: F401  (before timm)
from foveate.core.errors import ConfigError, WeightsError
from foveate.core.rng import torch_seeded
from foveate.data.catalog import composed
from foveate.models.backbone import Backbone, reason
from foveate.models.card import Card
from foveate.models.networks import NETWORKS, Network
from foveate.models.second_derivatives import differentiable_twice
from foveate.models.settings import ModelConfig
from foveate.models.tensor_files import read_tensors
from foveate.models.weights import (
    Weights,
    absent_parts,
    download_source,
    load_backbone,
    load_fitting,
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


def picture_size(config: ModelConfig, size: int | None) -> int:
    """Side in px of the pictures that the network will see: ``size``, or that of its weights.

    Raises:
        ConfigError, WeightsError: as ``build_network``, of the names alone; nothing is built or loaded.
    """
    if size is not None:
        return size
    weights = resolve_weights(config)
    default: Any = timm.models.get_pretrained_cfg(weights.architecture)
    card = weights.card
    native: int = card.input_size[1] if card and card.input_size else default.input_size[1]
    return native


def build_network(
    config: ModelConfig,
    classes: int,
    size: int | None,
    seed: int,
    class_ids: Sequence[str] = (),
    *,
    tensors: dict[str, torch.Tensor] | None = None,
) -> Network:
    """The network that ``config`` describes, in training mode, on the CPU.

    Random weights depend on ``seed`` only: those of the head on key(seed, "head"), those of a backbone
    without weights on key(seed, "backbone"); the global random state is left as it was.

    Args:
        size: side of the pictures in px; None: that of the weights.
        class_ids: in the order of the logits, for ``config.keep_head``.
        tensors: what the weights file holds, where the caller has read it.

    Raises:
        ConfigError: unknown backbone or arguments, a size the network cannot take, an unknown head.
        WeightsError: weights that are missing, damaged or of another network.
    """
    weights, size = resolve_weights(config), picture_size(config, size)
    if tensors is None:
        tensors = read_tensors(weights.file) if weights.file else {}
    module = _create(weights, size, config, seed)
    differentiable_twice(module)
    source, card = str(weights.file), weights.card
    left_out = load_backbone(module, tensors, card, source) if weights.file else []
    own, notes = _card(config, weights, size, module)
    other = _other_head(card, own, class_ids) if config.keep_head else ""
    keeps = config.keep_head and not other
    fitting = bool(other) and config.keep_head == "fitting" and card is not None and _alike(card, own)
    if other and not fitting:
        left_out.append(f"The head of {config.weights} is not taken over: {other}.")
    backbone = Backbone(module, own, notes if keeps or fitting else [*notes, *left_out])
    network: Network = NETWORKS.build(config.network, backbone, classes, seed)
    if keeps and weights.file:
        network.notes += tuple(load_head(network, tensors, source))
    if fitting and card:
        network.notes += (load_fitting(network, tensors, card.classes, source),)
    return network.train()


def _card(config: ModelConfig, weights: Weights, size: int, backbone: nn.Module) -> tuple[Card, list[str]]:
    """The card of a backbone whose weights are in place, and automatic choices."""
    card = weights.card
    default: Any = timm.models.get_pretrained_cfg(weights.architecture)
    notes: list[str] = []
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
    origin = weights.file.name if weights.file else None
    if weights.download:
        origin = f"timm: {default.tag or weights.architecture}"
    return Card(
        architecture=weights.architecture,
        architecture_kwargs=_arguments(config, card),
        pretrained_on=card.pretrained_on if card else origin,
        input_size=(3, size, size),
        mean=config.mean or (card and card.mean) or default.mean,
        std=config.std or (card and card.std) or default.std,
        absent=absent,
        network=config.network.model_dump(mode="json"),
        head=config.head if config.network.kind == "classifier" else None,
        feature_mode=mode,
    ), notes


def _other_head(card: Card | None, own: Card, class_ids: Sequence[str]) -> str:
    """Why the head that ``card`` describes cannot go on as ``own``'s; "" when it can."""
    if card is None or card.feature_mode is None:
        return "its card describes no head"
    if not class_ids or list(map(composed, card.class_ids or ())) != list(map(composed, class_ids)):
        return f"it was trained for other classes than these {len(class_ids)}"
    return (
        "" if _alike(card, own) else "it is built in another way (model.network, model.head, model.features)"
    )


def _alike(card: Card, own: Card) -> bool:
    return (card.network, card.head, card.feature_mode) == (own.network, own.head, own.feature_mode)


def _arguments(config: ModelConfig, card: Card | None) -> dict[str, Any]:
    """What timm's network is created with, by the user's and the card's wish."""
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
    return kwargs


def _create(weights: Weights, size: int, config: ModelConfig, seed: int) -> nn.Module:
    name, kwargs = weights.architecture, _arguments(config, weights.card)
    arguments = {"num_classes": 0, **kwargs}
    default: Any = timm.models.get_pretrained_cfg(name)
    if default.fixed_input_size:
        arguments["img_size"] = size
    if weights.download:
        arguments |= {"pretrained": True, "pretrained_cfg_overlay": download_source(name)}
    try:
        with torch_seeded(seed, "backbone"):
            return timm.create_model(name, **arguments)
    except (OSError, huggingface_hub.errors.HfHubHTTPError) as error:
        raise WeightsError(offline_message(name)) from error
    except Exception as error:  # what timm's networks make of strange arguments
        raise ConfigError(
            f"timm cannot build {name!r} for pictures of {size} px with {kwargs}: {reason(error)}."
        ) from error
