"""What a network costs to train: memory and time of one step, measured on a few pictures and scaled up."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from foveate.models.modes import untouched
from foveate.models.networks import Network

STATES = 4
"""Copies of every trained parameter: itself, its gradient, and the two moments of Adam."""
PICTURES = 8
"""Pictures of the step that is measured."""
STEPS = 3


@dataclass(frozen=True)
class Cost:
    """Of training every layer with Adam, in float32."""

    parameters: int
    memory: int
    """Bytes: weights, gradients, Adam's moments, and what the backward pass needs. Not: the framework itself and the
    pictures that wait."""
    seconds_per_picture: float
    """Forward and backward; the fastest of ``STEPS`` steps."""


def training_cost(model: Network, batch_size: int = 32) -> Cost:
    """Measure ``model`` where it is; its weights, gradients and modes are left as they were.

    Args:
        batch_size: the batch that ``memory`` is for.
    """
    device = next(model.parameters()).device
    buffers = {name: value.detach().clone() for name, value in model.named_buffers()}
    images = torch.zeros(PICTURES, 3, model.input_size, model.input_size, device=device)
    images = images.to(memory_format=torch.channels_last)
    with untouched(model):
        model.requires_grad_(True).train()
        model.zero_grad()  # or the steps would add to gradients that belong to the caller
        try:
            kept = _bytes_kept(model, images)
            seconds = min(_step(model, images) for _ in range(STEPS))
        finally:
            with torch.no_grad():  # batch norms have moved on
                for name, value in model.named_buffers():
                    value.copy_(buffers[name])
    parameters = sum(p.numel() for p in model.parameters())
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    return Cost(
        parameters=parameters,
        memory=STATES * size + round(kept / PICTURES * batch_size),
        seconds_per_picture=seconds / PICTURES,
    )


def _bytes_kept(model: nn.Module, images: torch.Tensor) -> int:
    """Bytes of the tensors that autograd keeps for the backward pass; parameters and shared memory count once, not at
    all."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    found: dict[int, int] = {}
    held: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)  # or its memory could be used again, and count once for two tensors
        return tensor

    def unpack(tensor: Any) -> Any:
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        model(images).logits.sum()
    return sum(found.values())


def _step(model: nn.Module, images: torch.Tensor) -> float:
    started = time.perf_counter()
    model(images).logits.sum().backward()
    if images.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
