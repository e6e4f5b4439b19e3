"""Weights in and out: ``model.safetensors`` and the card ``model.json`` of a run.

What a run writes is enough to build its network again without a network connection, and can be the next run's
``--weights``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch

from foveate.core.config import parse
from foveate.core.errors import WeightsError
from foveate.core.files import SCHEMA_VERSION, write_bytes, write_json
from foveate.core.manifest import WEIGHTS
from foveate.models.build import build_network
from foveate.models.card import Card, card_path, read_card
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig
from foveate.models.tensor_files import read_tensors
from foveate.models.weights import load_head


def save_model(
    model: Network,
    folder: Path,
    *,
    class_names: Sequence[str],
    class_ids: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
) -> Card:
    """Write ``model.safetensors`` and ``model.json`` into ``folder``; each is whole or as it was before.

    Returns the card as ``read_card`` will read it.

    Args:
        class_names: in the order of the logits.
        class_ids: the data set's own ids, in the same order.
        preprocessing: "size" in px, "fit" and what else is done to a picture; mean and std come from the
        model. versions: of other libraries; torch and timm are added.

    Raises:
        ValueError: the number of names is not the number of logits.
        OSError: the disk is full or the folder is not writable.
    """
    if len(class_names) != model.card.classes:
        raise ValueError(f"{len(class_names)} class names for {model.card.classes} logits")
    card = model.card.model_copy(
        update={
            "schema_version": SCHEMA_VERSION,
            "class_names": tuple(class_names),
            "class_ids": None if class_ids is None else tuple(class_ids),
            "preprocessing": {"size": model.input_size, **(preprocessing or {})},
            "versions": {"torch": torch.__version__, "timm": timm.__version__, **(versions or {})},
        }
    )
    write_bytes(folder / WEIGHTS, safetensors.torch.save(_plain_tensors(model), metadata={"format": "pt"}))
    values = card.model_dump(mode="json")
    write_json(card_path(folder / WEIGHTS), values)
    return Card.model_validate(values)


def load_model(folder: Path) -> Network:
    """The network that ``save_model`` wrote into ``folder``: on the CPU, in eval mode. No network connection.

    Raises:
        WeightsError: a file is missing or damaged, or the card is not one of ours.
    """
    file = folder / WEIGHTS
    card = read_card(file)
    if not file.is_file() or card is None:
        missing = file if not file.is_file() else card_path(file)
        raise WeightsError(f"There is no saved network in {folder}: {missing.name} is missing.")
    if card.feature_mode is None or card.classes is None or card.input_size is None:
        raise WeightsError(
            f"{card_path(file)} describes a backbone only; pass it as --weights to a new run instead."
        )
    settings = {
        "weights": str(file),
        "backbone": card.architecture,
        "network": card.network,
        "features": card.feature_mode,
        **({} if card.head is None else {"head": card.head}),
    }
    config = parse(ModelConfig, settings, source=str(card_path(file)), error=WeightsError)
    tensors = read_tensors(file)
    model = build_network(config, card.classes, card.input_size[1], seed=0, tensors=tensors)
    load_head(model, tensors, str(file))
    model.card, model.notes = card, ()
    return model.eval()


def _plain_tensors(model: Network) -> dict[str, torch.Tensor]:
    """state_dict on the CPU, contiguous (channels_last weights are not), no two entries sharing memory."""
    tensors: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for key, value in model.state_dict().items():
        plain = value.detach().cpu().contiguous()
        tensors[key] = plain.clone() if plain.data_ptr() in seen else plain
        seen.add(plain.data_ptr())
    return tensors
