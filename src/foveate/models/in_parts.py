"""A network asked for a few pictures at a time, by all cores."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

from foveate.core.threads import one_torch_thread

PART = 4
"""Pictures a pass. Fixed, so that what comes out does not depend on the number of threads."""


def in_parts(ask: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """``ask(images)``, (B, ...), without gradients; ``ask`` must not remember anything, since threads share it.

    On the CPU each of torch's threads asks for ``PART`` pictures by itself. All threads at one operation after another
    wait for each other at its end, and small maps do not fill them.
    """
    if images.device.type != "cpu":
        return _asked(ask, images)
    parts = images.split(PART)
    threads = torch.get_num_threads()
    answers = (
        _pool(threads, os.getpid()).map(lambda part: _asked(ask, part), parts)
        if threads > 1
        else (_asked(ask, part) for part in parts)
    )
    return torch.cat(list(answers))


def _asked(ask: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():  # each thread has its own switch
        return ask(images)


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """So many threads, in which torch works with one each; of this process, since a fork has none of them."""
    made = ThreadPoolExecutor(threads, "in_parts", initializer=one_torch_thread)
    begun = threading.Barrier(threads)
    list(made.map(lambda _: begun.wait(), range(threads)))
    torch.set_num_threads(threads)  # a thread sets it for all that begin later, too
    return made
