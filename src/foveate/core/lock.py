"""One process works in a folder at a time; a second one says who does."""

import json
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from foveate.core.errors import BusyError, DataError
from foveate.core.files import write_json

LOCK = ".lock"
HOLDER = ".lock.json"
"""Who holds the lock; only there while somebody does."""
PATIENCE = 20.0
"""Seconds that processes forked from a holder that was killed get to notice it and end."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Inside the block no other process works in ``folder``, which is made if need be.

    The operating system gives the lock back when a process ends, however it ends. A thread may enter again.

    Raises:
        BusyError: another process is at work there; says which, where, and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.resolve() / LOCK, is_singleton=True)
    if lock.is_locked:
        yield
        return
    _acquire(lock, folder)
    try:
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        write_json(folder / HOLDER, {**this_process(), "host": platform.node(), "since": since})
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def entries(folder: Path) -> list[Path]:
    """What a folder holds besides a lock, sorted; nothing where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name not in (LOCK, HOLDER))


def check_new(folder: Path) -> None:
    """Refuse a folder that holds anything.

    Raises:
        DataError: with the name of a file in it.
    """
    if folder.is_file():
        raise DataError(f"{folder} is a file; name a new folder.")
    held = entries(folder)
    if held:
        raise DataError(f"{folder} holds files already ({held[0].name}); name a new folder, or empty it.")


def _acquire(lock: FileLock, folder: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = _holder(folder)
        if holder and holder["host"] == platform.node() and not exists(holder):  # killed
            try:
                lock.acquire(timeout=PATIENCE)
                return
            except Timeout:
                holder = {}
        who = f" (process {holder['pid']} on {holder['host']}, since {holder['since']})" if holder else ""
        raise BusyError(
            f"Another process is at work in {folder}{who}; wait for it or stop it, or choose another folder."
        ) from None


def _holder(folder: Path) -> dict[str, Any]:
    """Who holds the lock; {} when that cannot be found out."""
    until = time.monotonic() + 1.0
    while True:
        try:
            found = json.loads((folder / HOLDER).read_bytes())
            return {name: found[name] for name in ("pid", "started", "host", "since")}
        except (OSError, ValueError, KeyError, TypeError):
            if time.monotonic() > until:  # it has the lock and is about to write who it is
                return {}
            time.sleep(0.05)


def this_process() -> dict[str, Any]:
    """What tells this process from others of the machine, also from later ones with the same number."""
    me = psutil.Process()
    return {"pid": me.pid, "started": me.create_time()}


def exists(process: dict[str, Any]) -> bool:
    """Whether the process of this machine that ``this_process`` described still runs."""
    try:
        found = psutil.Process(process["pid"])
        return abs(found.create_time() - process["started"]) < 2 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
