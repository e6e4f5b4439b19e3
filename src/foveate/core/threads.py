"""Work on many things by threads, in order."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

PIECE = 64
"""Things that are handed out at once, so that neither waiting work nor results pile up."""

_Thing = TypeVar("_Thing")
_Made = TypeVar("_Made")


def in_threads(
    make: Callable[[_Thing], _Made],
    things: Sequence[_Thing],
    tell: Callable[[int, int], None] | None = None,
    threads: int | None = None,
) -> Iterator[_Made]:
    """``make(thing)`` of all things, in their order; ``tell`` is called with (done, of how many) behind each.

    Pillow, hashlib, zlib and numpy release the interpreter lock, so threads suffice for them. What ``make`` raises goes
    through; whoever stops early waits for the things that were begun.
    """
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        try:
            for start in range(0, len(things), PIECE):
                for done, made in enumerate(pool.map(make, things[start : start + PIECE]), start + 1):
                    yield made
                    if tell is not None:
                        tell(done, len(things))
        finally:  # map itself cancels only what it has handed out whole
            pool.shutdown(wait=False, cancel_futures=True)


def one_torch_thread() -> None:
    """One core for what torch computes in this thread; the caller sets its own number again afterwards.

    Traps: the number is this thread's own only when torch has initialised the thread (its first question does that);
    and threads that start later inherit it.
    """
    import torch  # an exported network is asked without it

    torch.get_num_threads()
    torch.set_num_threads(1)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
