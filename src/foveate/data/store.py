"""Stores: read-only files of bytes that are whole or absent, and remembered content hashes of files.

A store is built under another name and renamed when whole, so whatever has the final name is complete, also
after a kill and with several processes building at once.
"""

import errno
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from foveate.core.errors import DataError
from foveate.core.files import sha256_of_file, write_json
from foveate.core.rng import key as random_key

BUILDING = ".building-"
SPARE = 64 * 2**20
"""Bytes that a build leaves free on the disk."""
ABANDONED = 7 * 24 * 3600
"""Seconds after which an unfinished build of another machine is removed."""
RACY = 2_000_000_000
"""Nanoseconds: a file changed less than this before it was hashed may change again without a new time
stamp."""


class Store:
    """A read-only file of ``count`` uint8 arrays of (channels, size, size). Pickled by its path."""

    def __init__(self, folder: Path, count: int, channels: int, size: int) -> None:
        self.folder = folder
        self.count = count
        self.channels = channels
        self.size = size

    @cached_property
    def array(self) -> np.ndarray:
        """(count, channels, size, size), memory-mapped; opened when first used in this process."""
        shape = (self.count, self.channels, self.size, self.size)
        if not self.count:
            return np.empty(shape, dtype=np.uint8)  # an empty file cannot be mapped
        mapped = np.memmap(self.folder / "bytes.u8", dtype=np.uint8, mode="r", shape=shape)
        return mapped.view(np.ndarray)  # indexing a plain array is several times faster than a np.memmap

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return self.count * self.channels * self.size * self.size

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "array"}

    def whole(self) -> bool:
        """Whether the folder is there with a file of the right size."""
        try:
            return (self.folder / "store.json").is_file() and (
                self.folder / "bytes.u8"
            ).stat().st_size == self.nbytes
        except FileNotFoundError:
            return False

    def build(
        self, make: Callable[[int], np.ndarray], done: Callable[[int], None], verify: Callable[[], None]
    ) -> None:
        """Fill with ``make(0)``, ``make(1)``, ... unless another process has done so.

        ``verify`` is called when all is made, before the store gets its name.

        Raises:
            DataError: too little room on the disk. What ``make`` or ``verify`` raises goes through, and
            nothing is
                left behind.
        """
        if self.whole():
            return
        parent = self.folder.parent
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"The cache folder {parent} cannot be made ({error.strerror}); {_WAYS_OUT}."
            ) from None
        _clean(parent)
        free = shutil.disk_usage(parent).free
        if free < self.nbytes + SPARE:
            raise _no_room(parent, self.nbytes, free)
        token = os.urandom(4).hex()
        temporary = parent / f"{BUILDING}{socket.gethostname()}-{os.getpid()}-{token}"
        temporary.mkdir()
        try:
            with open(temporary / "bytes.u8", "wb") as stream, ThreadPoolExecutor(usable_cores()) as pool:
                for start in range(0, self.count, 64):  # in pieces, so that results do not pile up in memory
                    for array in pool.map(make, range(start, min(start + 64, self.count))):
                        stream.write(array.data)
                    done(min(start + 64, self.count))
                stream.flush()
                os.fsync(stream.fileno())
            verify()
            write_json(
                temporary / "store.json",
                {"count": self.count, "channels": self.channels, "size": self.size},
            )
            try:
                os.rename(temporary, self.folder)
            except OSError:
                # Another process was first. Anything else in the way is no store: it goes, and we try once
                # more.
                if not self.whole():
                    shutil.rmtree(self.folder, ignore_errors=True)
                    os.rename(temporary, self.folder)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _no_room(parent, self.nbytes, shutil.disk_usage(parent).free) from None
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


class HashMemo:
    """Content hashes of files, remembered so that a second start does not read 100,000 files again.

    An entry counts only while size, inode, modification and change time are what they were, and only when the
    file had been left alone for two seconds before it was hashed (within the clock's grain a file can change
    unseen).
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.path = folder / "hashes" / f"{random_key(str(Path(root).resolve())):016x}.json"
        self.seen: dict[Path, list[int]] = {}
        self.entries: dict[str, list[Any]] = {}  # file -> [size, inode, mtime_ns, ctime_ns, hash]
        try:
            self.entries = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            self.entries = {}  # a memo may be lost: everything is hashed again

    def hash_all(self, files: Iterable[Path], report: Callable[[int, int], None]) -> dict[Path, str]:
        """Hexadecimal hash by file; saves the memo when it learned something.

        Raises:
            DataError: a file is missing or unreadable.
        """
        found: dict[Path, str] = {}
        todo = []
        for file in files:
            self.seen[file] = state = _state(file)
            entry = self.entries.get(str(file))
            if entry and entry[:4] == state:
                found[file] = entry[4]
            else:
                todo.append(file)
        if not todo:
            return found
        now = time.time_ns()
        with ThreadPoolExecutor(usable_cores()) as pool:
            for k, (file, digest) in enumerate(zip(todo, pool.map(_hash, todo), strict=True), start=1):
                found[file] = digest
                state = self.seen[file]
                if max(state[2], state[3]) < now - RACY:
                    self.entries[str(file)] = [*state, digest]
                if k % 256 == 0 or k == len(todo):
                    report(k, len(todo))
        try:
            write_json(self.path, self.entries)
        except OSError as error:
            raise DataError(
                f"The cache cannot be written at {self.path} ({error.strerror}); {_WAYS_OUT}."
            ) from None
        return found

    def refuse_changed(self) -> None:
        """Raise a DataError when a file is no longer what it was when it was hashed."""
        for file, state in self.seen.items():
            if _state(file) != state:
                raise DataError(f"{file} was changed while the cache was being built; run the command again.")


_WAYS_OUT = "point FOVEATE_CACHE to another disk, or use --no-cache"


def _no_room(folder: Path, needed: int, free: int) -> DataError:
    return DataError(
        f"The cache needs {needed / 2**20:,.0f} MB in {folder}, where {free / 2**20:,.0f} MB are free; "
        f"{_WAYS_OUT}."
    )


def _state(file: Path) -> list[int]:
    try:
        state = file.stat()
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); run 'foveate check'.") from None
    return [state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns]


def _hash(file: Path) -> str:
    try:
        return sha256_of_file(file)[:32]
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); run 'foveate check'.") from None


def _clean(folder: Path) -> None:
    """Remove builds whose process is gone."""
    for path in folder.glob(f"{BUILDING}*"):
        host, pid, _ = path.name.removeprefix(BUILDING).rsplit("-", 2)
        try:
            ours = host == socket.gethostname()
            gone = not psutil.pid_exists(int(pid)) if ours else time.time() - path.stat().st_mtime > ABANDONED
        except FileNotFoundError:
            continue  # its process has just finished it
        if gone:
            shutil.rmtree(path, ignore_errors=True)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
