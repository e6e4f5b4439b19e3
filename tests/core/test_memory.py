"""The largest memory since a moment: what is taken is seen, what was given back before is not."""

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
