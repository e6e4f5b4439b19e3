"""Processes of one distributed run agree: what differs between them (clocks, signals, rounding) must not part them.

In a single process every function gives back what it got.
"""

from collections.abc import Iterable
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object, parse_flag_from_env
from torch import nn

from foveate.core.errors import ConfigError

SHARDED = ("FSDP", "DEEPSPEED", "MEGATRON_LM")


def refuse_sharded() -> None:
    """Raises ConfigError: accelerate was told to share one network's parameters among the processes."""
    for kind in SHARDED:
        if parse_flag_from_env(f"ACCELERATE_USE_{kind}"):
            raise ConfigError(
                f"{kind} is not supported: every process holds the whole network. Start training with torchrun (leave "
                f"ACCELERATE_USE_{kind} out); if the memory does not suffice, choose a smaller backbone or batch."
            )


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


def total(accelerator: Accelerator, values: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all processes."""
    if accelerator.num_processes == 1:
        return values
    added: torch.Tensor = accelerator.reduce(values, "sum")
    return added


def share_of(accelerator: Accelerator, count: int) -> float:
    """What the mean over this process's ``count`` pictures weighs in the mean over all: 1 where all have as many."""
    if accelerator.num_processes == 1:
        return 1.0
    everyones = total(accelerator, torch.tensor(float(count), device=accelerator.device))
    return count * accelerator.num_processes / float(everyones)


def share(accelerator: Accelerator, values: Iterable[torch.Tensor]) -> None:
    """The main process's values, in place, on every process."""
    if accelerator.num_processes > 1:
        for value in values:
            torch.distributed.broadcast(value, src=0)


def share_gradients(accelerator: Accelerator, parameters: Iterable[nn.Parameter]) -> None:
    """The mean gradients, on every process; none where no process has one.

    They are exchanged once a step, all in one piece, after the backward pass. So parameters that no loss reaches,
    second passes and gradients inside of a loss, at which DistributedDataParallel stumbles, need no care.
    """
    if accelerator.num_processes == 1:
        return
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    # A process on which no picture took part has no gradient, and all must exchange alike.
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
    there = torch.tensor([float(p.grad is not None) for p in learning], device=accelerator.device)
    parts = [*gradients, there]
    added = total(accelerator, torch.cat([part.flatten() for part in parts]))
    *sums, counted = added.split([part.numel() for part in parts])
    for parameter, gradient, new, anywhere in zip(learning, gradients, sums, counted.tolist(), strict=True):
        new = new.view(gradient.shape) / accelerator.num_processes
        parameter.grad = gradient.copy_(new) if anywhere else None
