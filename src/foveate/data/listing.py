"""A folder's files as sorted relative paths, and pictures that are asked for; found without opening any of them."""

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foveate.core.errors import DataError
from foveate.data.decode import IMAGE_SUFFIXES

IGNORED_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"})
"""Lower-case names that file managers leave behind; names that begin with a dot are ignored too."""

UNREADABLE = frozenset(
    (*(".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"), ".psd", ".svg", ".dcm", ".czi")
)
"""Suffixes of pictures that are not read here."""


@dataclass(frozen=True)
class Scan:
    """What lies below a folder; paths are relative to it, with forward slashes, sorted."""

    pictures: tuple[str, ...]
    """Files with a picture's suffix."""
    others: tuple[str, ...]
    """Every other file that is not ignored."""
    folders: tuple[str, ...]
    """All folders that are not ignored, empty ones included."""
    links: tuple[str, ...] = ()
    """Links to folders that are listed under another name already; they are not listed again."""


def scan(root: Path) -> Scan:
    """List ``root`` recursively. Symbolic links are followed, but every real folder is listed once only.

    Real folders come before links to them, then the first by name; so links in circles end, and folders that
    link to each other do not multiply.

    Raises:
        DataError: a folder cannot be read, a name is not valid Unicode (it could not be written to a table), or
        is a pipe, socket or device (reading it could wait for ever).
    """
    found: dict[str, list[str]] = {"pictures": [], "others": [], "folders": [], "links": []}
    real = os.path.realpath(root)
    seen = {real}
    pending, linked = deque([(str(root), "", real)]), deque[tuple[str, str, str]]()
    while pending or linked:
        folder, path, real = (pending or linked).popleft()
        if path and real in seen:
            found["links"].append(path)
            continue
        if path:
            seen.add(real)
            found["folders"].append(path)
        for entry in _entries(folder):
            below = f"{path}/{entry.name}" if path else entry.name
            if entry.is_dir():
                if entry.is_symlink():
                    linked.append((entry.path, below, os.path.realpath(entry.path)))
                else:
                    pending.append((entry.path, below, os.path.join(real, entry.name)))
            elif not entry.is_file() and os.path.exists(entry.path):
                raise DataError(f"{entry.path} is a pipe, socket or device, not a file; move it away.")
            elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:
                found["pictures"].append(below)  # also a broken link: the audit will name it
            else:
                found["others"].append(below)
    return Scan(**{name: tuple(sorted(paths)) for name, paths in found.items()})


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What lies in ``folder`` and is not left behind by a file manager, by name."""
    try:
        with os.scandir(folder) as entries:
            kept = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in IGNORED_NAMES]
    except OSError as error:
        raise DataError(
            f"The folder {folder} cannot be listed: {error.strerror}; mend it or move it away."
        ) from error
    for entry in kept:
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"The file name {entry.name!r} in {folder} is not valid UTF-8; rename the file."
            ) from None
    return sorted(kept, key=lambda entry: entry.name)


def picture_list(paths: Sequence[Path], *, unreadable: bool = False) -> tuple[Path, list[str]]:
    """Pictures to predict or explain: files in the order given, also twice, and folders, searched recursively, sorted.

    Args:
        unreadable: of folders also pictures in forms that are not read here.

    Returns:
        The folder given, or the one that all paths share; and the files below it.

    Raises:
        DataError: a path does not exist, or there is no picture.
    """
    given = [Path(os.path.abspath(path)) for path in paths]
    files: list[Path] = []
    for path in given:
        if path.is_dir():
            found = scan(path)
            others = [name for name in found.others if Path(name).suffix.lower() in UNREADABLE]
            files += [path / name for name in sorted([*found.pictures, *(others if unreadable else [])])]
        elif path.exists():
            files.append(path)
        else:
            raise DataError(f"{path} does not exist; give picture files or folders of pictures.")
    if not files:
        raise DataError(
            f"No picture in {', '.join(map(str, given)) or 'an empty list'}; give files or folders."
        )
    root = shared_folder(paths)
    return root, [path.relative_to(root).as_posix() for path in files]


def shared_folder(paths: Sequence[Path]) -> Path:
    """The folder given, or the one that all paths of pictures and folders share."""
    given = [Path(os.path.abspath(path)) for path in paths]
    return Path(os.path.commonpath([path if path.is_dir() else path.parent for path in given]))


def none_readable(root: Path, unreadable: Mapping[str, str]) -> DataError:
    """What is said where every picture, {path below ``root``: why}, cannot be read."""
    path, why = next(iter(unreadable.items()))
    more = f" Nor can the other {len(unreadable) - 1} be read." if len(unreadable) > 1 else ""
    return DataError(f"{root / path} cannot be read: {why}.{more}")
