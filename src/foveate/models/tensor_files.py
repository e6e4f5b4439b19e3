"""The tensors in a weights file, as training programs write them; nothing but tensors is ever unpickled."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from foveate.core import manifest
from foveate.core.errors import WeightsError, first_line

_CONTAINERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "teacher",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
)
"""Names under which checkpoints keep their network, the averaged one before the last one."""
_WRAPPERS = ("_orig_mod.", "module.", "_orig_mod.")


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """{key: tensor} of a weights file, without the wrappers that training programs put around it.

    Raises:
        WeightsError: the file is damaged, holds more than tensors, tensors of which no network is made (quantised,
        sparse, complex, without values), or a value that is not finite.
        RunError: they are a finished run's, and not as it wrote them.
    """
    manifest.check_weights(file)
    try:
        if file.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" not in str(error):
            raise WeightsError(
                f"{file} cannot be read as weights: it is damaged, or something else."
            ) from None
        raise WeightsError(
            f"{file} holds Python objects besides tensors, which could run code when read; "
            "save its state_dict alone, best as .safetensors."
        ) from None
    except Exception as error:  # a damaged archive may fail in any way
        raise WeightsError(f"{file} cannot be read as weights: {first_line(error)}.") from error
    tensors = {}
    for key, value in _table(content, file).items():
        for prefix in _WRAPPERS:
            key = key.removeprefix(prefix)
        tensors[key] = value
    for key, value in tensors.items():
        fault = _fault(value)
        if fault:
            raise WeightsError(
                f"{file} holds {key} {fault}; save plain tensors of float32, float16 or bfloat16."
            )
    broken = [
        key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise WeightsError(f"{file} holds values that are not finite in {some(broken)}; it is damaged.")
    return tensors


def some(names: list[str]) -> str:
    """The first of the names, for a message."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _table(content: Any, file: Path) -> Mapping[str, torch.Tensor]:
    """The table of tensors in a checkpoint: the content itself, what has one of the usual names, or the only one."""
    while isinstance(content, Mapping) and not _is_table(content):
        tables = [name for name, value in content.items() if _is_table(value)]
        inside = [name for name in _CONTAINERS if isinstance(content.get(name), Mapping) and content[name]]
        if not inside and len(tables) > 1:
            raise WeightsError(
                f"{file} holds several tables of tensors ({some([str(name) for name in tables])}); save the one of the "
                "network alone."
            )
        if not inside and not tables:
            break
        content = content[inside[0] if inside else tables[0]]
    if not _is_table(content):
        raise WeightsError(
            f"{file} holds no plain table of tensors (a state_dict); save the network's state_dict."
        )
    return content


def _is_table(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(key, str) and isinstance(item, torch.Tensor) for key, item in value.items())
    )


def _fault(value: torch.Tensor) -> str:
    """What makes it no tensor of weights; "" where nothing does."""
    kind = str(value.dtype).removeprefix("torch.")
    if value.is_meta:
        return "without values (on the meta device)"
    if value.is_quantized or value.is_nested or value.layout != torch.strided:
        shape = "quantised" if value.is_quantized else "nested" if value.is_nested else "sparse"
        return f"as a {shape} tensor"
    if value.is_complex() or (value.is_floating_point() and value.element_size() < 2):
        return f"as {kind}"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return "as one value shown many times"  # its shape may promise more than any memory holds
    return ""
