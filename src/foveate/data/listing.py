"""A folder's files as sorted relative paths, and pictures that are asked for; found without opening any of them."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
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
    for path, files in _walk(root, found["links"]):
        found["folders"] += [path] * bool(path)
        for entry in files:
            below = _below(path, entry)
            _check_file(entry)
            # A broken link may be a picture, too: the audit will name it.
            found["pictures" if _suffix(below) in IMAGE_SUFFIXES else "others"].append(below)
    return Scan(**{name: tuple(sorted(paths)) for name, paths in found.items()})


def _walk(root: Path, links: list[str]) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """(path below ``root``, files in it) of every folder that is listed; ``links`` takes the names of the others."""
    real = os.path.realpath(root)
    seen = {real}
    pending, linked = deque([(str(root), "", real)]), deque[tuple[str, str, str]]()
    while pending or linked:
        folder, path, real = (pending or linked).popleft()
        if path and real in seen:
            links.append(path)
            continue
        seen.add(real)
        files = []
        for entry in _entries(folder):
            if not entry.is_dir():
                files.append(entry)
            elif entry.is_symlink():
                linked.append((entry.path, _below(path, entry), os.path.realpath(entry.path)))
            else:
                pending.append((entry.path, _below(path, entry), os.path.join(real, entry.name)))
        yield path, files


def _below(path: str, entry: os.DirEntry[str]) -> str:
    return f"{path}/{entry.name}" if path else entry.name


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _check_file(entry: os.DirEntry[str]) -> None:
    if not entry.is_file() and os.path.exists(entry.path):
        raise DataError(f"{entry.path} is a pipe, socket or device, not a file; move it away.")


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


def pictures_below(root: Path, paths: Sequence[Path], *, unreadable: bool = False) -> Iterator[str]:
    """Paths below ``root`` of files in the order given, also twice, and folders, searched recursively, sorted.

    Of a folder with millions of pictures no more is kept than the names of its folders and one folder's files.

    Args:
        unreadable: of folders also pictures in forms that are not read here.

    Raises:
        DataError: a path does not exist; what ``scan`` raises.
    """
    suffixes = IMAGE_SUFFIXES | UNREADABLE if unreadable else IMAGE_SUFFIXES
    for given in (Path(os.path.abspath(path)) for path in paths):
        if given.is_dir():
            start = given.relative_to(root).as_posix()
            listed = {path for path, _ in _walk(given, [])}
            for name in _in_order(given, "", listed, suffixes):
                yield name if start == "." else f"{start}/{name}"
        elif given.exists():
            yield given.relative_to(root).as_posix()
        else:
            raise DataError(f"{given} does not exist; give picture files or folders of pictures.")


def _in_order(root: Path, path: str, listed: Set[str], suffixes: Set[str]) -> Iterator[str]:
    """Pictures in the ``listed`` folders from ``path`` on, in the order of their paths."""
    entries = _entries(os.path.join(root, path))
    for entry in sorted(entries, key=lambda entry: entry.name + "/" * entry.is_dir()):
        below = _below(path, entry)
        if entry.is_dir():
            yield from _in_order(root, below, listed, suffixes) if below in listed else ()
            continue
        _check_file(entry)
        if _suffix(below) in suffixes:
            yield below


def picture_list(paths: Sequence[Path], *, unreadable: bool = False) -> tuple[Path, list[str]]:
    """Pictures to predict or explain, as ``pictures_below`` finds them.

    Args:
        unreadable: of folders also pictures in forms that are not read here.

    Returns:
        The folder given, or the one that all paths share; and the files below it.

    Raises:
        DataError: a path does not exist, or there is no picture.
    """
    root = shared_folder(paths) if paths else Path()
    names = list(pictures_below(root, paths, unreadable=unreadable))
    if not names:
        given = ", ".join(os.path.abspath(path) for path in paths)
        raise DataError(f"No picture in {given or 'an empty list'}; give files or folders.")
    return root, names


def shared_folder(paths: Sequence[Path]) -> Path:
    """The folder given, or the one that all paths of pictures and folders share."""
    given = [Path(os.path.abspath(path)) for path in paths]
    return Path(os.path.commonpath([path if path.is_dir() else path.parent for path in given]))


def none_readable(root: Path, unreadable: Mapping[str, str]) -> DataError:
    """What is said where every picture, {path below ``root``: why}, cannot be read."""
    path, why = next(iter(unreadable.items()))
    more = f" Nor can the other {len(unreadable) - 1} be read." if len(unreadable) > 1 else ""
    return DataError(f"{root / path} cannot be read: {why}.{more}")
