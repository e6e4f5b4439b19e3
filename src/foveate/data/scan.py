"""A folder's files as sorted relative paths, found without opening any of them."""

import os
from dataclasses import dataclass
from pathlib import Path

from foveate.core.errors import DataError
from foveate.data.decode import IMAGE_SUFFIXES

IGNORED_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"})
"""Lower-case names that file managers leave behind; names that begin with a dot are ignored too."""


@dataclass(frozen=True)
class Scan:
    """What lies below a folder; paths are relative to it, with forward slashes, sorted."""

    pictures: tuple[str, ...]
    """Files with a picture's suffix."""
    others: tuple[str, ...]
    """Every other file that is not ignored."""
    folders: tuple[str, ...]
    """All folders that are not ignored, empty ones included."""


def scan(root: Path) -> Scan:
    """List ``root`` recursively; follows symbolic links, but not in circles.

    Raises:
        DataError: a folder cannot be read, or a name is not valid Unicode (it could not be written to a
        table).
    """
    pictures: list[str] = []
    others: list[str] = []
    folders: list[str] = []
    pending = [(str(root), "", frozenset({os.path.realpath(root)}))]
    while pending:
        folder, prefix, above = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith(".") or name.lower() in IGNORED_NAMES:
                        continue
                    if not name.isascii():
                        _check_name(name, folder)
                    path = prefix + name
                    if entry.is_dir():
                        real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                        if real not in above:
                            folders.append(path)
                            pending.append((entry.path, path + "/", above | {real}))
                    elif os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                        pictures.append(path)  # also a broken link: the audit will name it
                    else:
                        others.append(path)
        except OSError as error:
            raise DataError(
                f"The folder {folder} cannot be listed: {error.strerror}; mend it or move it away."
            ) from error
    return Scan(tuple(sorted(pictures)), tuple(sorted(others)), tuple(sorted(folders)))


def _check_name(name: str, folder: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"The file name {name!r} in {folder} is not valid UTF-8; rename the file.") from None
