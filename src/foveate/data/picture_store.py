"""Stores: read-only files of bytes that are whole or absent, and remembered content hashes of files.

A store is built under another name and renamed when whole; its checksums are compared when a process opens it. Whoever
builds holds a lock, which the system takes back when its process ends in whatever way.
"""

import errno
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from foveate.core.errors import DataError
from foveate.core.files import sha256_of_file, write_json
from foveate.core.memo import read_memo, write_memo
from foveate.core.rng import key as random_key
from foveate.core.threads import in_threads

log = logging.getLogger(__name__)

BUILDING = ".building-"
LOCKS = "locks"
SPARE = 64 * 2**20
"""Bytes that a build leaves free on the disk."""
BLOCK = 4 * 2**20
"""Bytes that one checksum covers."""
RACY = 2_000_000_000
"""Nanoseconds: a file changed less than this before it was hashed may change again without a new time stamp."""

Report = Callable[[str, int, int], None]
"""Called with (what is being done, done, total)."""

_WAYS_OUT = "point FOVEATE_CACHE to another disk, or use --no-cache"
_verified: dict[Path, list[int]] = {}
"""{folder: state of its files when this process compared their checksums}."""


class Store:
    """A read-only file of uint8 arrays. Pickled by its path.

    Args:
        what: the arrays' name in words, "pictures" or "masks".
        shape: (count, channels, size, size).
    """

    def __init__(self, folder: Path, what: str, shape: tuple[int, int, int, int]) -> None:
        self.folder, self.what, self.shape = folder, what, shape
        self.nbytes = int(np.prod(shape))

    @cached_property
    def array(self) -> np.ndarray:
        """(count, channels, size, size), memory-mapped; opened when first used in this process."""
        if not self.nbytes:
            return np.empty(self.shape, dtype=np.uint8)  # an empty file cannot be mapped
        mapped = np.memmap(self.folder / "bytes.u8", dtype=np.uint8, mode="r", shape=self.shape)
        return mapped.view(np.ndarray)  # indexing a plain array is several times faster than a np.memmap

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "array"}

    def whole(self, report: Report) -> bool:
        """Whether the files are there and hold the bytes that were written; compared once in each process."""
        try:
            state = state_of(self.folder / "store.json") + state_of(self.folder / "bytes.u8")
            if _verified.get(self.folder) == state:
                return True
            told = json.loads((self.folder / "store.json").read_bytes())
            size = (self.folder / "bytes.u8").stat().st_size
            same = size == self.nbytes and told == self._described(self.folder, report)
        except (OSError, ValueError, RecursionError):
            return False
        if same:
            _verified[self.folder] = state
        return same

    def build(self, make: Callable[[int], np.ndarray], report: Report, verify: Callable[[], None]) -> None:
        """Fill with ``make(0)``, ``make(1)``, ... unless that was done before; a damaged store is made again.

        ``verify`` is called when all is made, before the store gets its name.

        Raises:
            DataError: too little room on the disk, or the folder cannot be written. What ``make`` or
                ``verify`` raises goes through, and nothing is left behind.
        """
        if self.whole(report):
            return
        parent = self.folder.parent
        try:
            (parent / LOCKS).mkdir(parents=True, exist_ok=True)
            with self._alone(report):
                if not self.whole(report):  # another process may have built it meanwhile
                    self._fill(make, report, verify)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._no_room() from None
            raise DataError(
                f"The cache folder {parent} cannot be written ({error.strerror or error}); {_WAYS_OUT}."
            ) from None

    @contextmanager
    def _alone(self, report: Report) -> Iterator[None]:
        """Hold the lock of this store; waiting for another process is said."""
        lock, waited = _lock(self.folder), False
        while not lock.is_locked:
            try:
                lock.acquire(timeout=1)
            except Timeout:
                waited = True
            if waited:
                what, count = f"waiting for another process that decodes the {self.what}", self.shape[0]
                report(what, count if lock.is_locked else 0, count)
        try:
            yield
        finally:
            lock.release()

    def _fill(self, make: Callable[[int], np.ndarray], report: Report, verify: Callable[[], None]) -> None:
        parent = self.folder.parent
        if os.path.lexists(self.folder):
            log.warning("The cache %s was damaged; the %s are decoded again.", self.folder, self.what)
            _remove(self.folder)
        building = parent / f"{BUILDING}{self.folder.name}"
        _remove(building)
        _clean(parent)
        if shutil.disk_usage(parent).free < self.nbytes + SPARE:
            raise self._no_room()
        building.mkdir()
        try:
            with open(building / "bytes.u8", "wb") as stream:
                for array in in_threads(make, range(self.shape[0]), partial(report, f"decoding {self.what}")):
                    stream.write(array.data)
                stream.flush()
                os.fsync(stream.fileno())
            verify()
            write_json(building / "store.json", self._described(building, lambda what, done, total: None))
            os.rename(building, self.folder)
        finally:
            _remove(building)

    def _described(self, folder: Path, report: Report) -> dict[str, Any]:
        """What ``store.json`` says, from the bytes themselves."""

        def checksum(start: int) -> int:
            # Read, not mapped: a bad sector is then an error and not the end of the process.
            return zlib.crc32(np.fromfile(folder / "bytes.u8", np.uint8, BLOCK, offset=start).data)

        starts = range(0, self.nbytes, BLOCK)
        sums = list(in_threads(checksum, starts, partial(report, f"reading the cached {self.what}")))
        count, channels, size, _ = self.shape
        return {"count": count, "channels": channels, "size": size, "crc32": sums}

    def _no_room(self) -> DataError:
        folder = self.folder.parent
        free = shutil.disk_usage(folder).free
        return DataError(
            f"The cache needs {self.nbytes / 2**20:,.0f} MB in {folder}, where {free / 2**20:,.0f} MB are free; "
            f"{_WAYS_OUT}."
        )


class HashMemo:
    """Content hashes of files, remembered so that a second start does not read 100,000 files again.

    An entry counts only while size, inode, modification and change time are what they were, and only when the
    file had been left alone for two seconds before it was hashed (within the clock's grain a file can change
    unseen).
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.path = folder / "hashes" / f"{random_key(str(Path(root).resolve())):016x}.json"
        self.seen: dict[Path, list[int]] = {}
        # file -> [size, inode, mtime_ns, ctime_ns, hash]
        self.entries: dict[str, list[Any]] = read_memo(self.path) or {}

    def hash_all(self, files: Sequence[Path], report: Callable[[int, int], None]) -> dict[Path, str]:
        """Hexadecimal hash by file; saves the memo when it learned something.

        Raises:
            DataError: a file is missing or unreadable.
        """
        self.seen = {file: _readable(state_of, file) for file in files}
        found = {
            file: entry[4]
            for file, state in self.seen.items()
            if (entry := self.entries.get(str(file))) and entry[:4] == state
        }
        todo = [file for file in files if file not in found]
        now = time.time_ns()
        for file, digest in zip(todo, in_threads(partial(_readable, _hash), todo, report), strict=True):
            found[file] = digest
            if max(self.seen[file][2:]) < now - RACY:
                self.entries[str(file)] = [*self.seen[file], digest]
        if todo:
            write_memo(self.path, self.entries)
        return found

    def refuse_changed(self) -> None:
        """Raise a DataError when a file is no longer what it was when it was hashed."""
        for file, state in self.seen.items():
            if _readable(state_of, file) != state:
                raise DataError(f"{file} was changed while the cache was being built; run the command again.")


def _readable(ask: Callable[[Path], Any], file: Path) -> Any:
    """What ``ask`` gives for a file that can be read."""
    try:
        return ask(file)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); run 'foveate check'.") from None


def state_of(file: Path) -> list[int]:
    """[size, inode, mtime_ns, ctime_ns]: while it stays, the content does."""
    state = file.stat()
    return [state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns]


def _hash(file: Path) -> str:
    return sha256_of_file(file)[:32]


def _lock(store: Path) -> Any:
    return FileLock(store.parent / LOCKS / f"{store.name}.lock")


def _clean(folder: Path) -> None:
    """Remove what builds left whose process is gone: nobody holds their lock."""
    for path in folder.glob(f"{BUILDING}*"):
        try:
            with _lock(folder / path.name.removeprefix(BUILDING)).acquire(timeout=0):
                _remove(path)
        except Timeout:
            continue


def _remove(path: Path) -> None:
    """Whatever is there, if anything."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
