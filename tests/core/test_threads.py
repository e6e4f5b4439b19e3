"""Work in threads: in order, bounded, told, and stopped by the first error."""

import threading

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
