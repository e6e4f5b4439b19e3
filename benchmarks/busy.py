"""Training while other programs want the processor too: how our threads wait, beside how OpenMP's wait by themselves.

``python -m benchmarks.busy STEPS`` is one of its processes: seconds of so many training steps.
"""

import os
import subprocess
import sys
import time
from contextlib import ExitStack

import foveate  # noqa: F401  (before torch: it says how threads wait)

from benchmarks.measure import Row, compare  # isort: skip
from benchmarks.photos import Photos  # isort: skip

BATCH, SIZE, STEPS = 16, 128, 30
OTHERS = {"quiet": 0, "one busy process": 1, "two busy processes": 2}
WAITING = {"foveate": {}, "libgomp": {"GOMP_SPINCOUNT": "300000"}}
"""What is set; libgomp's documentation names the number that it takes by itself."""


def run(photos: Photos, repeats: int, quick: bool = False) -> list[Row]:
    """Pictures a second of a small network, with as many threads as cores (``photos`` are not needed)."""
    steps = 5 if quick else STEPS
    return [_row(case, count, repeats, steps) for case, count in OTHERS.items()]


def _row(case: str, count: int, repeats: int, steps: int) -> Row:
    seconds: dict[str, list[float]] = {name: [] for name in WAITING}
    with ExitStack() as stack:
        for _ in range(count):
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(other.wait)
            stack.callback(other.kill)
        for _ in range(repeats):
            for name, settings in WAITING.items():
                call = [sys.executable, "-m", "benchmarks.busy", str(steps)]
                said = subprocess.run(
                    call, env=os.environ | settings, check=True, capture_output=True, text=True
                )
                seconds[name].append(float(said.stdout))
    note = "beside libgomp's own way of waiting (it spins for milliseconds)"
    case = f"mobilenetv3_small_100, {SIZE} px, {case}"
    return compare(
        "training", case, *seconds.values(), work=BATCH * steps, unit="pictures/s", note=note
    )  # fmt: skip


def _train(steps: int) -> float:
    import torch

    from benchmarks.plain import timm

    model = timm.create_model("mobilenetv3_small_100", num_classes=5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images, targets = torch.randn(BATCH, 3, SIZE, SIZE), torch.zeros(BATCH, dtype=torch.long)
    started = 0.0
    for step in range(steps + 2):
        if step == 2:
            started = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), targets).backward()
        optimizer.step()
    return time.perf_counter() - started


if __name__ == "__main__":
    print(_train(int(sys.argv[1])))
