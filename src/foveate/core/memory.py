"""How much memory this process has held at most, since a moment."""

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

_PROCESS = Path("/proc/self")


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
