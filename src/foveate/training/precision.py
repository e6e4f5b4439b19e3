"""Precision and memory layout, measured: which is fastest depends on the network and on the pass, so no rule fits."""

import copy
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from foveate.core.files import write_json
from foveate.models.classifier import Classifier

PRECISIONS = ("fp32", "fp32_channels_last", "bf16", "bf16_channels_last")


@dataclass(frozen=True)
class Precision:
    """How a pass is computed: autocast dtype and memory layout of 4-D tensors."""

    name: str
    """One of PRECISIONS."""

    @property
    def memory_format(self) -> torch.memory_format:
        """Layout of pictures and kernels."""
        return torch.channels_last if self.name.endswith("channels_last") else torch.contiguous_format

    @contextmanager
    def autocast(self, device: torch.device) -> Iterator[None]:
        """bf16 where autocast allows it; nothing for fp32."""
        with torch.autocast(
            device.type, torch.bfloat16, enabled=self.name.startswith("bf16"), cache_enabled=True
        ):
            yield


def machine(device: torch.device) -> str:
    """What a measurement is valid for: processor or accelerator, threads, torch version."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    flags = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        found = [line for line in lines if line.startswith(("flags", "Features", "model name"))][:2]
        flags = hashlib.sha256("".join(sorted(found)).encode()).hexdigest()[:8]
    return f"{platform.machine()} {flags}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def measure(
    step: Callable[[Classifier, Precision], None],
    model: Classifier,
    device: torch.device,
    rounds: int = 3,
    steps: int = 2,
) -> dict[str, float]:
    """Seconds of ``step(copy of model, precision)`` for each candidate: interleaved rounds, median.

    The model itself is not touched. A candidate that the device cannot compute is left out.
    """
    candidates: dict[str, Classifier] = {}
    for name in PRECISIONS:
        precision = Precision(name)
        clone = copy.deepcopy(model).to(memory_format=precision.memory_format)  # type: ignore[call-overload]
        try:
            step(clone, precision)  # warm-up; also tells whether it works at all
        except RuntimeError:
            if name == "fp32":
                raise
            continue
        candidates[name] = clone
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, clone in candidates.items():
            _wait(device)
            start = time.perf_counter()
            for _ in range(steps):
                step(clone, Precision(name))
            _wait(device)
            seconds[name].append((time.perf_counter() - start) / steps)
    return {name: median(values) for name, values in seconds.items()}


def choose(seconds: dict[str, float], batch_size: int) -> tuple[str, str]:
    """The fastest candidate (plain fp32 unless another is 3 % faster) and the figures in words."""
    fastest = min(seconds, key=lambda name: seconds[name])
    if seconds[fastest] > 0.97 * seconds["fp32"]:
        fastest = "fp32"
    rates = ", ".join(f"{name} {batch_size / value:.0f}" for name, value in seconds.items())
    return fastest, f"measured here, pictures/s: {rates}"


def remembered(memory: Path | None, key: str, decide: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """``decide()``, or what an earlier run on this machine found under the same key (file ``memory``)."""
    known = json.loads(memory.read_text(encoding="utf-8")) if memory and memory.is_file() else {}
    if key in known:
        value, reason = known[key]
        return value, f"{reason} (remembered from an earlier run on this machine)"
    value, reason = decide()
    if memory:
        # Another process may have written in between: read again, so that only this key is added.
        known = json.loads(memory.read_text(encoding="utf-8")) if memory.is_file() else {}
        write_json(memory, {**known, key: [value, reason]})
    return value, reason


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
