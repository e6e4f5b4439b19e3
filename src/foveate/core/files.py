"""Files that are either whole or absent: written beside the target, flushed, then renamed over it."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
LONGEST_NAME = 255
"""Bytes of a file's name."""


def write_bytes(path: Path, *content: bytes | memoryview) -> None:
    """Replace ``path`` atomically by the parts of ``content``. A crash or a full disk leaves the old file as it was.

    A device or a pipe, such as /dev/null or /dev/stdout, is written into: renamed over, it would be gone for all.

    Raises:
        OSError: the disk is full or the folder is not writable; nothing was changed. It names ``path``.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with open(path, "wb") as stream:
            stream.writelines(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the name itself: with more around it it may be too long for the disk.
    temporary = path.with_name(f".{hash(path.name) % 2**32:08x}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            stream.writelines(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary.exists():  # on a read-only disk not even what is not there can be removed
            temporary.unlink()
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None
        raise


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` atomically with UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` atomically with indented JSON; NaN is refused, use None."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Indented JSON as ``write_json`` writes it."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any] | Mapping[str, Any]]) -> None:
    """Replace ``path`` atomically with a CSV table; rows as in ``csv_text``."""
    write_text(path, csv_text(header, rows))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any] | Mapping[str, Any]]) -> str:
    """A CSV table; rows are sequences or mappings by header (missing -> empty)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    # Trap: with "\n" as terminator Python 3.11 leaves a lone "\r" (macOS names a file "Icon\r") unquoted.
    quoting = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in (header, *rows):
        values = [row.get(name, "") for name in header] if isinstance(row, Mapping) else list(row)
        (quoting if any("\r" in str(value) for value in values) else writer).writerow(values)
    return buffer.getvalue()


def fitting(name: str, suffix: str = "") -> str:
    """``name + suffix``, shortened where no disk takes so long a file name; then a hash tells names apart."""
    if len(os.fsencode(name + suffix)) <= LONGEST_NAME:
        return name + suffix
    mark = f"-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}{suffix}"
    kept = os.fsencode(name)[: LONGEST_NAME - len(mark)]
    return kept.decode(errors="ignore") + mark


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
