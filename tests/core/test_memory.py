"""The largest memory since a moment: what is taken is seen, what was given back before is not."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from foveate.core.memory import PeakMemory

TAKEN = 100_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it cannot begin anew")
def test_what_was_taken_since() -> None:
    memory = PeakMemory()
    before = memory.read()
    held = np.ones(TAKEN, dtype=np.uint8)
    with_it = memory.read()
    del held
    after, anew = memory.read(), PeakMemory().read()
    assert before is not None
    assert with_it is not None
    assert anew is not None
    assert with_it - before > 0.8 * TAKEN
    assert after is not None
    assert after - before > 0.8 * TAKEN
    assert with_it - anew > 0.8 * TAKEN


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it cannot begin anew")
def test_what_was_freed_before_does_not_count() -> None:
    """Small pieces below a last one that is kept: they are free, and the process has them still."""
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("another C library than glibc")
    pieces = [bytearray(10_000) for _ in range(20_000)]
    with_them = PeakMemory().read()
    del pieces[:-1]
    anew = PeakMemory().read()
    assert with_them is not None
    assert anew is not None
    assert with_them - anew > 150_000_000


@pytest.mark.parametrize(("environment", "kept"), [({}, True), ({"MALLOC_TRIM_THRESHOLD_": "131072"}, False)])
def test_what_is_freed_stays_unless_the_user_says_otherwise(environment: dict[str, str], kept: bool) -> None:
    if not hasattr(ctypes.CDLL(None), "mallopt") or not ctypes.CDLL(None).mallopt(-3, 1 << 30):
        pytest.skip("another C library than glibc, or an old one")
    ask = (
        "import foveate.core.torchvision_guard, numpy as np, re\n"
        "resident = lambda: 1024 * int(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "before = resident(); held = np.ones(100_000_000, dtype=np.uint8); del held; print(resident() - before)"
    )
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", ask], env=unset | environment, check=True, capture_output=True, text=True
    )
    assert (int(done.stdout) > 0.8 * TAKEN) == kept
