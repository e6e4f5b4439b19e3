"""Learning-rate finder and batch-size finder. Both work on a copy, so that the run afterwards is as if without them."""

import copy
import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil
import torch

from foveate.core.errors import TrainingError
from foveate.core.rng import key, seed_torch
from foveate.data.batch import Batch
from foveate.models.networks import Network
from foveate.training.loaders import Feed
from foveate.training.optimizers import set_learning_rates


@dataclass(frozen=True)
class LearningRateSweep:
    """What the finder saw."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Smoothed."""
    suggestion: float
    reason: str


def find_learning_rate(
    model: Network,
    feed: Feed,
    loss: Callable[[Network, Batch, int], torch.Tensor],
    optimizer_for: Callable[[Network, float], torch.optim.Optimizer],
    *,
    seed: int,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 60,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> LearningRateSweep:
    """Raise the rate exponentially over real training steps until the loss blows up; suggest the steepest descent.

    Source: Smith, Cyclical Learning Rates, WACV 2017 (range test). Batches differ more than one small step changes
    the loss, which is why a plain range test on a small set suggests noise. So every batch is also shown to the
    untouched network, under the same dropout, and what is smoothed is the difference. The suggestion is the rate at
    which it falls fastest over log(rate), a tenth of the lowest point's rate at most.

    Args:
        loss: of a network on a batch at a step (from 0); what it draws hangs on the step alone.
        tell: called with (steps done, steps at most).

    Raises:
        TrainingError: the loss is not finite from the start.
    """
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        rates, smoothed = _sweep(model, feed, loss, optimizer_for, seed, lowest, highest, steps, tell)
    tell(steps, steps)
    if not rates:
        raise TrainingError(
            "The learning-rate finder saw a loss that is not finite at its very first, smallest step; give lr as a "
            "number, or set training.precision=fp32."
        )
    return _suggest(rates, smoothed)


def _sweep(
    model: Network, feed: Feed, loss: Callable[[Network, Batch, int], torch.Tensor],
    optimizer_for: Callable[[Network, float], torch.optim.Optimizer],
    seed: int, lowest: float, highest: float, steps: int, tell: Callable[[int, int], None],
) -> tuple[list[float], list[float]]:  # fmt: skip
    """Rates and smoothed losses of a copy of the model, until the loss blows up.

    A loss is the mean of the untouched network's plus the smoothed difference to it.
    """
    clone, untouched = copy.deepcopy(model), copy.deepcopy(model)
    optimizer = optimizer_for(clone, lowest)
    rates: list[float] = []
    smoothed: list[float] = []
    average, start = 0.0, 0.0
    device = next(model.parameters()).device
    for step, batch in enumerate(_endless(feed, steps)):
        tell(step, steps)
        rate = lowest * (highest / lowest) ** (step / (steps - 1))
        set_learning_rates(optimizer, rate, 1.0)
        seed_torch(key(seed, "finder", step), device.type)
        before = float(loss(untouched, batch, step).detach())
        seed_torch(key(seed, "finder", step), device.type)
        value = loss(clone, batch, step)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        average = 0.8 * average + 0.2 * (float(value.detach()) - before)
        start += (before - start) / (step + 1)
        difference = average / (1 - 0.8 ** (step + 1))
        if not math.isfinite(difference) or difference > 2 * start:
            break
        rates.append(rate)
        smoothed.append(difference)
    return rates, [start + difference for difference in smoothed]


def _suggest(rates: list[float], losses: list[float]) -> LearningRateSweep:
    bottom = min(range(len(losses)), key=losses.__getitem__)
    width = 3  # steps over which a slope is taken, against noise
    slopes = [losses[i + width] - losses[i] for i in range(max(bottom - width + 1, 0))]
    steepest = min(range(len(slopes)), key=slopes.__getitem__) + width // 2 if slopes else bottom
    suggestion = min(rates[steepest], rates[bottom] / 10) if bottom else rates[0]
    suggestion = float(f"{suggestion:.1e}")
    reason = (
        f"range test over {len(rates)} steps: loss falls fastest near {rates[steepest]:.1e}, "
        f"is lowest at {rates[bottom]:.1e}"
    )
    return LearningRateSweep(tuple(rates), tuple(losses), suggestion, reason)


def _endless(feed: Feed, steps: int) -> Iterator[Batch]:
    """``steps`` batches, epoch after epoch."""
    epoch = 0
    while steps > 0:
        for batch in feed.epoch(epoch):
            yield batch
            steps -= 1
            if not steps:
                return
        epoch += 1


def find_batch_size(
    step: Callable[[Network, int], None],
    model: Network,
    device: torch.device,
    *,
    pictures: int,
    start: int = 8,
    largest: int = 1024,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, str]:
    """Double the batch while real training steps get faster a picture and memory allows.

    Args:
        step: one forward, backward and optimizer step of a copy of the network on a batch of this size.
        pictures: training pictures; a batch never holds more than an eighth of them, so that an epoch has steps.
        start: the first size, tried whatever the number of pictures.
        largest: no size beyond it.
        tell: called with (pictures of the batch that is tried, largest batch).

    Returns:
        The smallest size within 10 % of the best pictures/s, and the figures in words. Memory is checked before each
        doubling (on a CPU, running out would end the process): the next size must fit into 60 % of what is free.

    Raises:
        TrainingError: not even the smallest batch fits.
    """
    ceiling = max(start, min(largest, pictures // 8))
    size, rates, stopped = start, {}, f"an epoch should keep eight steps ({pictures} pictures)"
    if 2 * largest <= pictures // 8:
        stopped = f"no more than {largest} are asked for"
    while size <= ceiling:
        tell(size // 2, ceiling)
        clone = copy.deepcopy(model)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        before = _used(device)
        try:
            step(clone, size)  # warm-up
            _synchronise(device)
            began = time.perf_counter()
            step(clone, size)
            _synchronise(device)
            rates[size] = size / (time.perf_counter() - began)
        except torch.OutOfMemoryError:
            stopped = f"{size} did not fit into memory"
            break
        growth = max(_used(device) - before, 0)
        del clone
        gc.collect()
        if 2 * growth > 0.6 * _free(device):
            stopped = f"{2 * size} would take more than 60 % of the free memory"
            break
        size *= 2
    tell(ceiling, ceiling)
    if not rates:
        raise TrainingError(
            f"Not even a batch of {size} pictures fits into memory; set training.batch_size to less, or data.size."
        )
    best = max(rates.values())
    chosen = min(size for size, rate in rates.items() if rate >= 0.9 * best)
    figures = ", ".join(f"{size}: {rate:.0f}" for size, rate in rates.items())
    return chosen, f"smallest within 10 % of the fastest (pictures/s {figures}); stopped because {stopped}"


def _used(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return int(psutil.Process().memory_info().rss)


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
