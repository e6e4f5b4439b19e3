"""Pictures decoded once: a memory-mapped cache of bytes, keyed by content and shared by all runs that need
it.

A store is a folder ``<cache>/<kind>-<key>/`` with one raw file of uint8 and a ``store.json``. It is built
under another name and renamed when whole, so whatever has the final name is complete. Pictures lie channel
first: measured over augmentation, batching and normalisation this is never slower than channel last (the
resampling does not care, flips, shifts and the copy into the batch are faster).
"""

import errno
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import PIL
import psutil
import torch
from pydantic import Field

from foveate.core.config import Config
from foveate.core.errors import DataError
from foveate.core.files import sha256_of_file, write_json
from foveate.core.rng import key as random_key
from foveate.data.annotations import sample_mask
from foveate.data.catalog import Catalog
from foveate.data.decode import Fit, read_image, resize, resize_mask

FORMAT = 1
"""Raise it when the bytes of a store would change."""
BUILDING = ".building-"
SPARE = 64 * 2**20
"""Bytes that a build leaves free on the disk."""
ABANDONED = 7 * 24 * 3600
"""Seconds after which an unfinished build of another machine is removed."""
RACY = 2_000_000_000
"""Nanoseconds: a file changed less than this before it was hashed may change again without a new time
stamp."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, total)."""
Item = tuple[torch.Tensor, torch.Tensor, bool]


class CacheConfig(Config):
    """Where decoded pictures are kept."""

    enabled: bool = True
    """Decode once and keep the bytes; otherwise decode in every epoch."""
    folder: Path | None = None
    """The cache; None takes the environment variable FOVEATE_CACHE, else the user's cache folder."""
    size: int | None = Field(default=None, ge=8)
    """Side of the kept pictures in pixels; None takes the network's. Larger leaves detail for crops."""
    fit: Fit = "squash"
    """How a picture becomes square: squash, crop (largest centred square) or pad (with grey)."""


class Pictures(Protocol):
    """Square pictures and masks by catalog row. Picklable: workers open files again."""

    size: int
    """Side in pixels."""
    has_masks: bool
    """Whether any row has a mask."""

    def __len__(self) -> int: ...

    def read(self, row: int) -> Item:
        """(picture (3, size, size) uint8, mask (1, size, size) uint8 0/255, whether there is a mask)."""

    def read_many(self, rows: Sequence[int] | np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pictures (n, 3, size, size) uint8, masks (n, 1, size, size) uint8, has_mask (n,) bool."""

    def name(self, row: int) -> str:
        """The file, for messages."""


def open_pictures(
    catalog: Catalog,
    size: int,
    fit: Fit | None = None,
    config: CacheConfig | None = None,
    progress: Progress | None = None,
) -> Pictures:
    """The catalog's pictures, at ``config.size`` or ``size`` pixels; builds the cache when there is none.

    Raises:
        DecodeError, MaskError: a file cannot be read; the message names it.
        DataError: too little room on the disk, or a file changed meanwhile.
    """
    config = config or CacheConfig()
    side, fit = config.size or size, fit or config.fit
    if not config.enabled:
        return DecodedPictures(catalog, side, fit)
    return build_cache(catalog, side, fit, cache_folder(config), progress)


def cache_folder(config: CacheConfig) -> Path:
    """The cache's folder: the setting, FOVEATE_CACHE, or ``foveate`` in the user's cache folder."""
    if config.folder is not None:
        return config.folder.expanduser()
    if os.environ.get("FOVEATE_CACHE"):
        return Path(os.environ["FOVEATE_CACHE"]).expanduser()
    user = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(user).expanduser() / "foveate"


class DecodedPictures:
    """No cache: every read decodes. Gives the same bytes as the cache."""

    def __init__(self, catalog: Catalog, size: int, fit: Fit = "squash") -> None:
        self.catalog = catalog
        self.size = size
        self.fit = fit
        self.has_masks = catalog.has_masks

    def __len__(self) -> int:
        return len(self.catalog)

    def name(self, row: int) -> str:
        return str(self.catalog.file(row))

    def read(self, row: int) -> Item:
        image = torch.from_numpy(_decode(self.catalog, row, self.size, self.fit))
        if not self.catalog.samples[row].mask:
            return image, torch.zeros((1, self.size, self.size), dtype=torch.uint8), False
        return image, torch.from_numpy(_decode_mask(self.catalog, row, self.size, self.fit)), True

    def read_many(self, rows: Sequence[int] | np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        items = [self.read(int(row)) for row in rows]
        return (
            torch.stack([image for image, _, _ in items]),
            torch.stack([mask for _, mask, _ in items]),
            torch.tensor([has_mask for _, _, has_mask in items], dtype=torch.bool),
        )


class CachedPictures:
    """Pictures and masks from two stores. Rows with equal content share their bytes."""

    def __init__(
        self,
        images: "Store",
        slots: np.ndarray,
        masks: "Store | None",
        mask_slots: np.ndarray,
        names: tuple[str, ...],
    ) -> None:
        self.images = images
        self.slots = slots  # (N,) row -> place in images
        self.masks = masks
        self.mask_slots = mask_slots  # (N,), -1 = no mask
        self.names = names
        self.size = images.size
        self.has_masks = masks is not None

    def __len__(self) -> int:
        return len(self.slots)

    def name(self, row: int) -> str:
        return self.names[row]

    def read(self, row: int) -> Item:
        # np.array copies: a tensor on read-only pages would let a careless write crash the process.
        image = torch.from_numpy(np.array(self.images.array[self.slots[row]]))
        slot = self.mask_slots[row]
        if self.masks is None or slot < 0:
            return image, torch.zeros((1, self.size, self.size), dtype=torch.uint8), False
        return image, torch.from_numpy(np.array(self.masks.array[slot])), True

    def read_many(self, rows: Sequence[int] | np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = np.asarray(rows, dtype=np.int64)
        images = torch.from_numpy(self.images.array[self.slots[rows]])  # fancy indexing copies
        slots = self.mask_slots[rows]
        masks = torch.zeros((len(rows), 1, self.size, self.size), dtype=torch.uint8)
        has_mask = torch.from_numpy(slots >= 0)
        if self.masks is not None and bool(has_mask.any()):
            masks[has_mask] = torch.from_numpy(self.masks.array[slots[slots >= 0]])
        return images, masks, has_mask


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
                {"format": FORMAT, "count": self.count, "channels": self.channels, "size": self.size},
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


def build_cache(
    catalog: Catalog, size: int, fit: Fit, folder: Path, progress: Progress | None = None
) -> CachedPictures:
    """Open the stores that hold this catalog's pictures and masks, after making what is missing."""
    report = progress or (lambda what, done, total: None)
    files = [catalog.file(row) for row in range(len(catalog))]
    mask_files = {ref: _files_of(catalog.root, ref) for ref in {s.mask for s in catalog.samples} - {""}}
    memo = HashMemo(folder, catalog.root)
    needed = dict.fromkeys([*files, *(file for listed in mask_files.values() for file in listed)])
    hashes = memo.hash_all(list(needed), lambda done, total: report("reading files", done, total))

    recipe = f"{FORMAT} {PIL.__version__} {size} {fit}"
    contents = [hashes[file] for file in files]
    images, slots, firsts = _plan(folder, "images", recipe, contents, 3, size)
    images.build(
        lambda slot: _decode(catalog, firsts[slot], size, fit),
        lambda done: report("decoding pictures", done, len(firsts)),
        memo.refuse_changed,
    )
    # A mask depends on its reference, on the bytes of its files, and on the size and turn of its picture.
    mask_contents = [
        " ".join((s.mask, contents[row], *(hashes[file] for file in mask_files[s.mask]))) if s.mask else ""
        for row, s in enumerate(catalog.samples)
    ]
    masks, mask_slots, mask_firsts = _plan(folder, "masks", recipe, mask_contents, 1, size)
    if mask_firsts:
        masks.build(
            lambda slot: _decode_mask(catalog, mask_firsts[slot], size, fit),
            lambda done: report("decoding masks", done, len(mask_firsts)),
            memo.refuse_changed,
        )
    names = tuple(str(file) for file in files)
    return CachedPictures(images, slots, masks if mask_firsts else None, mask_slots, names)


def _plan(
    folder: Path, kind: str, recipe: str, contents: Sequence[str], channels: int, size: int
) -> tuple[Store, np.ndarray, list[int]]:
    """The store for these contents, the place of each row in it (-1 where the content is ""), and a row for
    each place.

    Places follow the sorted contents, so the key does not depend on paths, labels or the order of rows.
    """
    first: dict[str, int] = {}
    for row, content in enumerate(contents):
        if content:
            first.setdefault(content, row)
    ordered = sorted(first)
    place = {content: k for k, content in enumerate(ordered)}
    digest = hashlib.sha256("\n".join([kind, recipe, *ordered]).encode()).hexdigest()[:24]
    slots = np.array([place.get(content, -1) for content in contents], dtype=np.int64)
    return (
        Store(folder / f"{kind}-{digest}", len(ordered), channels, size),
        slots,
        [first[c] for c in ordered],
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


def _decode(catalog: Catalog, row: int, size: int, fit: Fit) -> np.ndarray:
    """(3, size, size) uint8. JPEGs are decoded at no less than twice the size, which loses nothing that is
    kept."""
    image = resize(read_image(catalog.file(row), at_least=2 * size), size, fit)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _decode_mask(catalog: Catalog, row: int, size: int, fit: Fit) -> np.ndarray:
    """(1, size, size) uint8, 0 or 255."""
    mask = sample_mask(catalog, row)
    assert mask is not None
    return np.array(resize_mask(mask, size, fit))[None]


def _files_of(root: Path, ref: str) -> list[Path]:
    """The files that a mask reference points to, whatever its kind: parts of its payload that exist."""
    pieces = ref.partition(":")[2].split("|")
    candidates = [root / piece for piece in pieces] + [root / piece.rpartition("#")[0] for piece in pieces]
    return [file for file in candidates if file.is_file()]


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
