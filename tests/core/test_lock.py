"""A folder held by another process: refused and named; held by a process that is gone: no obstacle."""

import json
import multiprocessing
import os
import platform
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from foveate.core.errors import BusyError
from foveate.core.lock import HOLDER, alone, entries


def _hold(folder: Path, ready: Any, fork: bool) -> None:
    with alone(folder):
        if fork and os.fork() == 0:
            os.setsid()
            time.sleep(3)
            os._exit(0)
        ready.set()
        time.sleep(60)


@contextmanager
def holding(folder: Path, fork: bool = False) -> Iterator[Any]:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(folder, ready, fork))
    process.start()
    try:
        assert ready.wait(60)
        yield process
    finally:
        process.kill()
        process.join()


def test_the_second_process_says_who_holds_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with holding(folder) as process:
        since = json.loads((folder / HOLDER).read_text())["since"]
        with pytest.raises(BusyError) as caught, alone(folder):
            pytest.fail("two at once")
    assert str(caught.value) == (
        f"Another process is at work in {folder} (process {process.pid} on {platform.node()}, since {since}); "
        "wait for it or stop it, or choose another folder."
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_gone_is_no_obstacle(tmp_path: Path, number: signal.Signals) -> None:
    with holding(tmp_path) as process:
        os.kill(process.pid, number)
        process.join()
        assert (tmp_path / HOLDER).is_file()
        with alone(tmp_path):
            assert json.loads((tmp_path / HOLDER).read_text())["pid"] == os.getpid()


def test_what_a_killed_process_has_forked_is_waited_for(tmp_path: Path) -> None:
    """Loader workers inherit the lock and live on for some seconds."""
    with holding(tmp_path, fork=True) as process:
        process.kill()
        process.join()
        with alone(tmp_path):
            assert json.loads((tmp_path / HOLDER).read_text())["pid"] == os.getpid()


def test_a_thread_enters_again_and_another_does_not(tmp_path: Path) -> None:
    found: list[str] = []

    def other() -> None:
        try:
            with alone(tmp_path):
                found.append("in")
        except BusyError as error:
            found.append(str(error))

    with alone(tmp_path):
        with alone(tmp_path / ".." / tmp_path.name):
            assert (tmp_path / HOLDER).is_file()
        assert (tmp_path / HOLDER).is_file()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert f"process {os.getpid()} on" in found[0]
    assert entries(tmp_path) == []
    with alone(tmp_path):
        (tmp_path / "file").touch()
    assert entries(tmp_path) == [tmp_path / "file"]


def test_a_damaged_record_of_the_holder_is_no_traceback(tmp_path: Path) -> None:
    with holding(tmp_path):
        (tmp_path / HOLDER).write_text("[1")
        with (
            pytest.raises(BusyError, match=r"at work in .*; wait for it or stop it"),
            alone(tmp_path),
        ):
            pytest.fail("two at once")
