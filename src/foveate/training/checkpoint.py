"""Checkpoints that survive a kill at any moment: a folder is complete under its final name, or it does not exist.

``checkpoint/saved-00000012/`` holds ``tensors.safetensors`` (weights, moving averages, best weights, optimizer) and
``state.json`` (position, history, accumulators). Nothing is pickled.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from foveate.core.errors import RunError, TrainingError, shortened
from foveate.core.files import sha256_of_file, write_json
from foveate.core.reading import read_json

SEAL = "sha256"
"""The entry of ``state.json`` by which damage is noticed."""

Tensors = dict[str, torch.Tensor]


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimizer's per-parameter state as ``{"<parameter number>.<name>": tensor}``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for number, entries in state.items()
        for name, value in entries.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put back what ``flatten_optimizer`` gave; groups and their settings are the optimizer's own."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        parameter = parameters[int(number)]
        if tensor.shape == parameter.shape:
            # Same memory layout as the parameter: fused kernels walk both in memory order.
            value = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        else:
            value = tensor.clone()
        optimizer.state[parameter][name] = value.detach()


def save_checkpoint(folder: Path, tensors: Tensors, state: dict[str, Any]) -> None:
    """Write the next checkpoint atomically and remove older ones afterwards.

    Raises:
        TrainingError: the disk is full or not writable; the last checkpoint is still there.
    """
    last = max((int(path.name.split("-")[1]) for path in folder.glob("saved-*")), default=0)
    # Always a new name: replacing a folder is not atomic, and for a moment there would be none.
    final = folder / f"saved-{last + 1:08d}"
    temporary = folder / f".writing-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        # Clones: safetensors refuses tensors that share memory.
        save_file(
            {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()},
            temporary / "tensors.safetensors",
        )
        with open(temporary / "tensors.safetensors", "rb") as stream:
            os.fsync(stream.fileno())
        write_json(temporary / "state.json", {**state, SEAL: _seal(temporary, state)})
        os.replace(temporary, final)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) or "No space left" in str(error) or "os error" in str(error):
            raise TrainingError(
                f"The checkpoint could not be written to {folder} ({error}). The last one is "
                "kept; free some space and run the same command again."
            ) from error
        raise
    for other in folder.iterdir():
        if other != final:
            shutil.rmtree(other, ignore_errors=True)


def load_checkpoint(folder: Path) -> tuple[Tensors, dict[str, Any]] | None:
    """The newest complete checkpoint, or None.

    Raises:
        RunError: it is damaged.
    """
    complete = sorted(folder.glob("saved-*"))
    if not complete:
        return None
    try:
        state = read_json(complete[-1] / "state.json", dict)
        # Checkpoints of earlier versions have no seal.
        if state.pop(SEAL, None) not in (None, _seal(complete[-1], state)):
            raise RunError("its bytes are not those that were written")
        return load_file(complete[-1] / "tensors.safetensors"), state
    except (RunError, SafetensorError, OSError) as error:
        raise damaged(folder, error) from None


def damaged(folder: Path, why: Exception) -> RunError:
    """The error of a checkpoint that cannot be gone on with."""
    return RunError(
        f"The checkpoint in {folder} is damaged ({shortened(str(why), 200)}); remove that folder to begin again."
    )


def _seal(folder: Path, state: dict[str, Any]) -> str:
    """SHA-256 over the tensors' file and the state."""
    text = f"{sha256_of_file(folder / 'tensors.safetensors')} {json.dumps(state, sort_keys=True)}"
    return hashlib.sha256(text.encode()).hexdigest()


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    """Keys with ``prefix.`` in front."""
    return {f"{prefix}.{key}": value for key, value in tensors.items()}


def without_prefix(prefix: str, tensors: Tensors) -> Tensors:
    """The entries under ``prefix.``, with it taken off."""
    return {key[len(prefix) + 1 :]: value for key, value in tensors.items() if key.startswith(prefix + ".")}
