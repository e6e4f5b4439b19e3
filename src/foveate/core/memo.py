"""Memos: results that can be computed again, kept in a file whose first line is the SHA-256 of the rest.

A memo never ends a run: what is missing, damaged or of another version is computed again, and a warning says so.
"""

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.files import write_bytes

log = logging.getLogger(__name__)


def read_memo(path: Path) -> Any | None:
    """The value that ``write_memo`` left; None when there is none or it cannot be trusted."""
    body = _read(path)
    return None if body is None else json.loads(body)


def write_memo(path: Path, value: Any) -> None:
    """Replace ``path`` atomically. Where it cannot be written a warning says so, and the next run computes again."""
    _write(path, json.dumps(value, ensure_ascii=False, allow_nan=False).encode())


def read_arrays_memo(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays that ``write_arrays_memo`` left, as ``read_memo``."""
    body = _read(path)
    if body is None:
        return None
    with np.load(io.BytesIO(body), allow_pickle=False) as stored:
        return dict(stored)


def write_arrays_memo(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Numbers and text, as ``write_memo``."""
    body = io.BytesIO()
    np.savez(body, allow_pickle=False, **dict(arrays))
    _write(path, body.getbuffer())


def _read(path: Path) -> bytes | None:
    try:
        digest, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s cannot be read (%s); what it remembered is computed again.", path, error.strerror)
        return None
    if digest != _digest(body):
        log.warning("%s is damaged or of another version; what it remembered is computed again.", path)
        return None
    return body


def _write(path: Path, body: bytes | memoryview) -> None:
    try:
        write_bytes(path, _digest(body) + b"\n", body)
    except OSError as error:
        log.warning("%s cannot be written (%s); the next run computes it again.", path, error.strerror)


def _digest(body: bytes | memoryview) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
