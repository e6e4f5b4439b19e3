"""Memory of this process: how much it has held at most since a moment, and keeping what was freed."""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

_PROCESS = Path("/proc/self")
_TRIM, _MMAP = -1, -3
"""glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD."""
KEPT = 1 << 30
"""Bytes."""


def keep_freed_memory() -> None:
    """Let up to 1 GiB that is freed stay with the process, on glibc; what a user has set by the environment stays.

    A training step frees its maps and takes as much again. Given back to the system in between, every page of it is
    cleared anew: a fifth of an epoch at 224 px. The largest memory is the same.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    with suppress(OSError, AttributeError, TypeError):  # see PeakMemory
        # Trap: setting either ends glibc's own adaption of both; old ones refuse the first.
        mallopt = ctypes.CDLL(None).mallopt
        if mallopt(_MMAP, KEPT):
            mallopt(_TRIM, KEPT)


class PeakMemory:
    """Begins when it is built, on Linux; elsewhere it tells of the whole life of the process. Other processes, such as
    those that load pictures, are not counted."""

    def __init__(self) -> None:
        # What was freed stays with the process until the C library is asked: 220 MB after one small training. Without
        # glibc there is nothing to ask; on Windows there is no handle of the process itself.
        with suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):  # a sandbox may forbid it: then as elsewhere
            (_PROCESS / "clear_refs").write_text("5")  # man proc: resets VmHWM

    def read(self) -> int | None:
        """Bytes resident, the libraries' among them; None where the system does not tell."""
        if (_PROCESS / "status").exists():
            # Not getrusage's maximum, which a child inherits from the process that started it.
            lines = (_PROCESS / "status").read_text().splitlines()
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        try:
            import resource
        except ImportError:  # Windows
            return None
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
