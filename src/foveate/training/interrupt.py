"""Ctrl-C and SIGTERM: stop at once, but never in the middle of a training step; save, and say how to go on."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from foveate.core.errors import FoveateError


class Interrupted(FoveateError):
    """Work was stopped from outside.

    Args:
        where: what was stopped and what is kept, to follow the word "Stopped".
    """

    def __init__(self, where: str = "; what was finished is kept") -> None:
        super().__init__(f"Stopped{where}. Run the same command again to go on.")


class Signals:
    """SIGINT and SIGTERM inside ``watch_signals``. Called, it tells whether one came."""

    def __init__(self) -> None:
        self._caught = self._held = False
        self._process = os.getpid()

    def __call__(self) -> bool:
        return self._caught

    @contextmanager
    def held(self) -> Iterator[None]:
        """For what must not be cut in two: inside the block the first signal is only noted, and the block has to ask;
        a second Ctrl-C stops at once."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    @contextmanager
    def released(self) -> Iterator[None]:
        """Inside a block in which signals are held: for what may be cut anywhere.

        Raises:
            KeyboardInterrupt: a signal came, now or while they were held.
        """
        held, self._held = self._held, False
        try:
            self.check()
            yield
        finally:
            self._held = held

    def check(self) -> None:
        """Raises KeyboardInterrupt: a signal came while signals were held."""
        if self._caught:
            raise KeyboardInterrupt

    def note(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if os.getpid() != self._process:
            return  # a forked worker inherits the handler; its parent ends it
        self._caught = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not self._held:
            # No FoveateError from here: it could arise anywhere, and much code takes those for faults of a picture.
            raise KeyboardInterrupt


@contextmanager
def watch_signals() -> Iterator[Signals]:
    """Inside the block SIGINT and SIGTERM stop the work where it is, except where ``Signals.held`` says otherwise.

    Outside the main thread, where signals cannot be caught, nothing is done.

    Raises:
        Interrupted: one came.
    """
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before = {number: signal.signal(number, signals.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    except KeyboardInterrupt:
        if not signals():
            raise
        raise Interrupted from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
