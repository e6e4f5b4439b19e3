"""Processes of one distributed run agree: what differs between them (clocks, signals, rounding) must not part them.

In a single process every function gives back what it got.
"""

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn


def from_main(accelerator: Accelerator, value: Any) -> Any:
    """The main process's value, on every process."""
    if accelerator.num_processes == 1:
        return value
    return broadcast_object_list([value], from_process=0)[0]


def everyones(accelerator: Accelerator, value: Any) -> list[Any]:
    """The values of all processes, on every process."""
    return [value] if accelerator.num_processes == 1 else list(gather_object([value]))


def largest(accelerator: Accelerator, *values: float) -> list[float]:
    """The largest of every value over all processes."""
    if accelerator.num_processes == 1:
        return list(values)
    mine = torch.tensor([values], dtype=torch.float64, device=accelerator.device)
    everyones: torch.Tensor = accelerator.gather(mine)
    return [float(value) for value in everyones.amax(dim=0)]


def summed(accelerator: Accelerator, values: dict[str, float]) -> dict[str, float]:
    """The sum of every value over all processes."""
    if accelerator.num_processes == 1:
        return dict(values)
    mine = torch.tensor(list(values.values()), dtype=torch.float64, device=accelerator.device)
    return dict(zip(values, accelerator.reduce(mine, "sum").tolist(), strict=True))


def mean(accelerator: Accelerator, values: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over all processes."""
    if accelerator.num_processes == 1:
        return values
    averaged: torch.Tensor = accelerator.reduce(values, "mean")
    return averaged


def share_start(accelerator: Accelerator, module: nn.Module) -> None:
    """The main process's parameters and buffers on every process; for modules that DDP does not wrap."""
    if accelerator.num_processes > 1:
        for value in module.state_dict().values():
            torch.distributed.broadcast(value, src=0)


def share_gradients(accelerator: Accelerator, module: nn.Module) -> None:
    """The mean gradients of parameters that DDP does not wrap, on every process."""
    if accelerator.num_processes > 1:
        for parameter in module.parameters():
            if parameter.requires_grad:
                # A process on which no picture took part has none, and all must exchange alike.
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = mean(accelerator, gradient)


def share_buffers(accelerator: Accelerator, model: nn.Module) -> None:
    """The main process's buffers (batch statistics), which DDP leaves different after a step, on every process."""
    if accelerator.num_processes > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)
