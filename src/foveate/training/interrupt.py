"""Ctrl-C and SIGTERM: finish the step, save, stop, and say how to go on."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from foveate.core.errors import FoveateError


class Interrupted(FoveateError):
    """Training was stopped from outside, and its position was saved."""

    def __init__(self, epoch: int, batch: int, batches: int) -> None:
        super().__init__(
            f"Stopped in epoch {epoch + 1} after batch {batch} of {batches}; the position is saved. "
            "Run the same command again to go on."
        )


@contextmanager
def watch_signals() -> Iterator[Callable[[], bool]]:
    """Inside the block the first SIGINT or SIGTERM only sets a flag; a second SIGINT stops at once.

    Outside the main thread, where signals cannot be caught, the flag never rises.
    """
    caught = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield caught.is_set
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        caught.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield caught.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
