"""Timing side by side, and what is said about the machine it was done on."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from foveate.core.threads import usable_cores


@dataclass(frozen=True)
class Row:
    """One line of the table: the same work done by Foveate and in another way."""

    what: str
    """What was timed."""
    case: str
    """Network, picture size, preset ..."""
    foveate: float
    """Median, in ``unit``."""
    beside: float
    """Median of the other way, in ``unit``."""
    unit: str
    ratio: float
    """How many times faster Foveate is."""
    spread: tuple[float, float]
    """Smallest and largest ratio over the repeats, each taken within one round."""
    note: str = ""
    """What the other way is, and other figures."""


def interleaved(
    ways: dict[str, Callable[[], object]],
    repeats: int,
    warm_up: int = 1,
    before: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds of each way, A B A B ..., without the first ``warm_up`` rounds; ``before`` each, which is not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(warm_up + repeats):
        for name, way in ways.items():
            before()
            started = time.perf_counter()
            way()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def compare(
    what: str,
    case: str,
    foveate: list[float],
    beside: list[float],
    *,
    work: float = 0.0,
    unit: str,
    note: str = "",
) -> Row:
    """A row from seconds of the same rounds; with ``work`` (pictures in one timing) as pictures/s."""
    ratios = sorted(other / own for own, other in zip(foveate, beside, strict=True))
    own, other = median(foveate), median(beside)
    if work:
        own, other = work / own, work / other
    ratio = median(beside) / median(foveate)
    return Row(what, case, own, other, unit, ratio, (ratios[0], ratios[-1]), note)


def better(ways: dict[str, list[float]]) -> tuple[str, list[float]]:
    """The way with the smallest median."""
    return min(ways.items(), key=lambda item: median(item[1]))


def machine() -> dict[str, str]:
    """Processor, cores, threads, memory and versions; nothing that names the machine or its owner."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        flags = next((line for line in lines if line.startswith("flags")), "").split()
        marks = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
        processor = f"{names[0] if names else processor} ({', '.join(marks) or 'no AVX'})"
    description = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor,
        "cores": str(usable_cores()),
        "threads of torch": str(torch.get_num_threads()),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if hasattr(os, "getloadavg"):
        description["load when it began"] = f"{os.getloadavg()[0]:.1f}"
    return description
