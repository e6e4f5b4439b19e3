"""Work in threads: in order, bounded, told, and stopped by the first error."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from foveate.core.threads import PIECE, in_threads


def test_results_come_in_order_and_each_is_told() -> None:
    told: list[tuple[int, int]] = []
    things = range(2 * PIECE + 5)
    found = list(
        in_threads(lambda n: n * n, things, lambda done, total: told.append((done, total)), threads=3)
    )
    assert found == [n * n for n in things]
    assert told == [(n + 1, len(things)) for n in things]
    assert list(in_threads(str, [])) == []


def test_no_more_than_a_piece_is_made_ahead() -> None:
    started = []
    running = in_threads(started.append, range(10 * PIECE), threads=2)
    next(running)
    running.close()
    assert len(started) <= PIECE


def test_an_error_ends_it() -> None:
    made = []

    def make(n: int) -> str:
        made.append(n)
        if n == 3:
            raise ValueError("three")
        return threading.current_thread().name

    with pytest.raises(ValueError, match="three"):
        list(in_threads(make, range(10 * PIECE), threads=1))
    assert len(made) <= PIECE


def test_an_interrupt_while_work_is_handed_out_drops_what_has_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed, begun, released = [], [], threading.Event()
    submit, shutdown = ThreadPoolExecutor.submit, ThreadPoolExecutor.shutdown

    def interrupted(pool: ThreadPoolExecutor, *call: Any) -> Any:
        if len(handed) == 20:
            raise KeyboardInterrupt
        handed.append(call)
        return submit(pool, *call)

    def ending(pool: ThreadPoolExecutor, wait: bool = True, **how: Any) -> None:
        if wait:
            released.set()
        shutdown(pool, wait=wait, **how)

    def make(n: int) -> None:
        begun.append(n)
        assert released.wait(60)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", ending)
    with pytest.raises(KeyboardInterrupt):
        list(in_threads(make, range(PIECE), threads=2))
    assert len(handed) == 20
    assert len(begun) <= 2


@pytest.mark.parametrize(
    ("given", "spins", "blocks"),
    [({}, "1000", "1"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None, None), ({"GOMP_SPINCOUNT": "7"}, "7", "1")],
)
def test_threads_that_wait_soon_sleep_unless_the_user_has_said_otherwise(
    given: dict[str, str], spins: str | None, blocks: str | None
) -> None:
    ask = "import foveate, os; print([os.environ.get(n) for n in ('GOMP_SPINCOUNT', 'KMP_BLOCKTIME')])"
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    env = {name: value for name, value in os.environ.items() if name not in names} | given
    said = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str([spins, blocks])
