"""Precision and memory layout, measured: which is fastest depends on the network and on the pass, so no rule fits."""

import copy
import hashlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from foveate.core.errors import ConfigError
from foveate.core.memo import read_memo, write_memo
from foveate.data.batch import Batch
from foveate.models.networks import Network

PRECISIONS = ("fp32", "fp32_channels_last", "bf16", "bf16_channels_last")
"""What "auto" chooses of."""
SCALED = ("cuda", "mps")
"""Devices on which fp16 is computed, whose gradients have to be scaled."""
SECONDS = 2.0
"""A trial begins no step after this time."""
ROUNDS = 3
FEW = 2
"""Pictures of the first step, which decides how many the others have."""
SET_UP = 0.25
"""Seconds: a first step that takes longer is hardly lengthened by what is set up once."""


@dataclass(frozen=True)
class Precision:
    """How a pass is computed: autocast dtype and memory layout of 4-D tensors."""

    name: str
    """One of PRECISIONS, or fp16 or fp16_channels_last."""

    @property
    def memory_format(self) -> torch.memory_format:
        """Layout of pictures and kernels."""
        return torch.channels_last if self.name.endswith("channels_last") else torch.contiguous_format

    @contextmanager
    def autocast(self, device: torch.device) -> Iterator[None]:
        """bf16 or fp16 where autocast allows it; nothing for fp32."""
        dtype = torch.float16 if self.scaled else torch.bfloat16
        with torch.autocast(device.type, dtype, enabled=not self.name.startswith("fp32"), cache_enabled=True):
            yield

    @property
    def scaled(self) -> bool:
        """Whether gradients are scaled, since fp16 has no numbers for small ones."""
        return self.name.startswith("fp16")

    @property
    def unscaled(self) -> "Precision":
        """fp32 in the same layout where gradients are scaled, for trials that do not scale."""
        return Precision(self.name.replace("fp16", "fp32"))

    def scaler(self, device: torch.device, state: dict[str, float]) -> torch.amp.GradScaler:
        """What scales the gradients, as ``state_dict`` left it; does nothing where they are not scaled."""
        found = torch.amp.GradScaler(device.type, enabled=self.scaled)
        if self.scaled and state:
            found.load_state_dict(state)
        return found

    def check(self, device: torch.device) -> None:
        """
        Raises:
            ConfigError: the device does not compute in it.
        """
        if self.scaled and device.type not in SCALED:
            raise ConfigError(
                f"training.precision={self.name} needs an accelerator ({' or '.join(SCALED)}), and this run is on "
                f"{device.type}; set training.precision=auto, which measures what is fast here."
            )


def candidates(device: torch.device) -> tuple[tuple[str, ...], str]:
    """Names worth trying on a device, the more promising first after fp32, and why others are not ("" = all are)."""
    if device.type == "cpu" and not _processor_has_bf16():
        # Without instructions for it a step in bf16 takes ten times as long as one in fp32.
        return ("fp32", "fp32_channels_last"), "bf16 not tried: this processor has no instructions for it"
    return ("fp32", "bf16_channels_last", "fp32_channels_last", "bf16"), ""


def _processor_has_bf16() -> bool:
    """AVX512-BF16 or AMX (or Arm's own), there and not switched off (ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA)."""
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    # AVX512 alone is enough for oneDNN to call it supported: it is emulated there.
    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(has) and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def machine(device: torch.device) -> str:
    """What a measurement is valid for: processor or accelerator, its instructions, threads, torch version."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    flags = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        found = [line for line in lines if line.startswith(("flags", "Features", "model name"))][:2]
        flags = hashlib.sha256("".join(sorted(found)).encode()).hexdigest()[:8]
    used = f"{torch.backends.cpu.get_cpu_capability()}{' bf16' * _processor_has_bf16()}"
    return (
        f"{platform.machine()} {flags} {used}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )


@dataclass(frozen=True)
class Trial:
    """What was measured."""

    rates: dict[str, float]
    """{candidate: pictures/s}; those that were dropped early are rough."""
    complete: bool
    """Every candidate had two turns before the time was over, so that chance decides little."""


def measure(
    step: Callable[[Network, Precision, Batch], None],
    sample: Callable[[int], Batch],
    model: Network,
    device: torch.device,
    batch_size: int,
    names: Sequence[str] = PRECISIONS,
    tell: Callable[[int, int], None] = lambda done, total: None,
    *,
    seconds: float = SECONDS,
    rounds: int = ROUNDS,
) -> Trial:
    """Pictures/s of ``step(copy of model, precision, raw batch)`` for each candidate, the best of interleaved rounds.

    Batches are small enough for every candidate to have two steps within ``seconds``. One that takes twice as long as
    the best is dropped after its first round; after ``seconds`` no step is begun, but for the first one of the second
    candidate. The model itself is not touched. A candidate that the device cannot compute is left out, unless it is
    the first, which is the yardstick.

    Args:
        sample: makes a raw batch of so many pictures.
        batch_size: largest number of pictures.
        tell: called with (steps done, steps at most).
    """
    began = time.perf_counter()
    copies: dict[torch.memory_format, Network] = {}

    def rate(name: str, raw: Batch) -> float:
        precision = Precision(name)
        layout = precision.memory_format
        if layout not in copies:
            copies[layout] = copy.deepcopy(model).to(memory_format=layout)  # type: ignore[call-overload]
        _wait(device)
        start = time.perf_counter()
        step(copies[layout], precision, raw)
        _wait(device)
        return len(raw) / max(time.perf_counter() - start, 1e-9)

    def first_rate(name: str, raw: Batch) -> float:
        # A first step also pays for what is set up once: where that can matter, a second one decides.
        found = rate(name, raw)
        return found if len(raw) / found > SET_UP else max(found, rate(name, raw))

    raw = sample(min(FEW, batch_size))
    possible = first_rate(names[0], raw) * seconds / (2 * len(names))
    if possible > len(raw):
        raw = sample(min(int(possible), batch_size))
    rates: dict[str, float] = {}
    waiting = list(names)
    for turn in range(rounds):
        for number, name in enumerate(waiting):
            if time.perf_counter() - began > seconds and len(rates) > 1:
                return Trial(rates, complete=turn > 1)
            tell(turn * len(names) + number, rounds * len(names))
            try:
                found = rate(name, raw) if turn else first_rate(name, raw)
            except RuntimeError:
                if name == names[0]:
                    raise
                continue
            rates[name] = max(found, rates.get(name, 0.0))
        best = max(rates.values())
        waiting = [name for name in waiting if rates.get(name, 0.0) > best / 2]
    return Trial(rates, complete=True)


def choose(rates: dict[str, float]) -> tuple[str, str]:
    """The fastest candidate (plain fp32 unless another is 3 % faster) and the figures in words."""
    fastest = max(rates, key=lambda name: rates[name])
    if rates["fp32"] > 0.97 * rates[fastest]:
        fastest = "fp32"
    return fastest, f"measured here, pictures/s: {', '.join(f'{n} {rate:.3g}' for n, rate in rates.items())}"


def remembered(memory: Path | None, key: str, decide: Callable[[], tuple[str, str, bool]]) -> tuple[str, str]:
    """``decide()``, or what an earlier run on this machine found under the same key (file ``memory``).

    Args:
        decide: value, reason, and whether it is worth remembering.
    """
    known = (read_memo(memory) if memory else None) or {}
    if key in known:
        value, reason = known[key]
        return value, f"{reason} (remembered from an earlier run on this machine)"
    value, reason, sure = decide()
    if memory and sure:
        # Another process may have written in between: read again, so that only this key is added.
        write_memo(memory, {**(read_memo(memory) or {}), key: [value, reason]})
    return value, reason


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
