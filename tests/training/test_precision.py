"""Precision: the processor is asked, the rest measured on copies within seconds, chosen by time, remembered by key."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from foveate.core.errors import ConfigError
from foveate.core.memo import read_memo
from foveate.training import fit, precision
from foveate.training.checkpoint import load_checkpoint
from foveate.training.precision import (
    PRECISIONS,
    Precision,
    Trial,
    candidates,
    choose,
    machine,
    measure,
    remembered,
)
from foveate.training.training_job import Job
from training_helpers import Stop, phase, toy_job, weights_of

CPU = torch.device("cpu")


def test_choose_wants_three_percent() -> None:
    assert choose({"fp32": 100, "bf16": 102})[0] == "fp32"
    assert choose({"fp32": 100, "bf16": 105, "fp32_channels_last": 104})[0] == "bf16"
    assert choose({"fp32": 16.0, "fp32_channels_last": 0.316}) == (
        "fp32",
        "measured here, pictures/s: fp32 16, fp32_channels_last 0.316",
    )


class Clock:
    """A clock that a fake step moves on."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Timed:
    """A fake machine: each candidate takes so many seconds a picture, and so many more for its first step."""

    def __init__(self, clock: Clock, seconds: dict[str, float], set_up: float = 0.0) -> None:
        self.clock, self.seconds, self.set_up = clock, seconds, set_up
        self.model = torch.nn.Conv2d(2, 2, 1)
        self.steps: list[tuple[str, int]] = []

    def sample(self, pictures: int) -> Any:
        return range(pictures)

    def step(self, network: torch.nn.Module, candidate: Precision, raw: Any) -> None:
        assert network is not self.model
        layout = network.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr, operator]
        assert layout or not candidate.name.endswith("channels_last")
        if candidate.name not in self.seconds:
            raise RuntimeError("not on this device")
        first = candidate.name not in [name for name, _ in self.steps]
        self.steps.append((candidate.name, len(raw)))
        self.clock.now += self.seconds[candidate.name] * len(raw) + self.set_up * first

    def measure(self, batch_size: int = 32, names: tuple[str, ...] = PRECISIONS) -> Trial:
        return measure(self.step, self.sample, self.model, CPU, batch_size, names)  # type: ignore[arg-type]

    def count(self, name: str) -> int:
        return len([step for step in self.steps if step[0] == name])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(precision, "time", clock)
    return clock


def test_rates_are_those_of_the_machine_without_what_is_set_up_once(clock: Clock) -> None:
    fake = Timed(clock, {"fp32": 0.004, "fp32_channels_last": 0.002, "bf16": 0.003}, set_up=0.1)
    trial = fake.measure()
    assert trial.rates == pytest.approx({"fp32": 250, "fp32_channels_last": 500, "bf16": 1000 / 3})
    assert trial.complete
    assert max(pictures for _, pictures in fake.steps) == 32
    assert clock.now < 3


def test_what_is_twice_as_slow_is_dropped_after_its_first_step(clock: Clock) -> None:
    """The figures of a processor without bf16 instructions: 205, 217, 19 and 20 pictures/s."""
    rates = {"fp32": 205.0, "fp32_channels_last": 217.0, "bf16": 19.0, "bf16_channels_last": 20.0}
    fake = Timed(clock, {name: 1 / rate for name, rate in rates.items()})
    trial = fake.measure()
    assert (fake.count("bf16"), fake.count("bf16_channels_last")) == (1, 0), "then two seconds were over"
    assert choose(trial.rates)[0] == "fp32_channels_last"
    assert clock.now < 3


def test_a_large_network_is_tried_on_few_pictures_and_with_two_candidates_at_least(clock: Clock) -> None:
    fake = Timed(clock, {"fp32": 4.0, "bf16_channels_last": 1.0})
    trial = fake.measure(names=("fp32", "bf16_channels_last", "fp32_channels_last", "bf16"))
    assert set(trial.rates) == {"fp32", "bf16_channels_last"}
    assert not trial.complete
    assert {pictures for _, pictures in fake.steps} == {2}


def test_a_pass_that_fails_in_fp32_is_an_error(clock: Clock) -> None:
    with pytest.raises(RuntimeError, match="not on this device"):
        Timed(clock, {}).measure()


def test_the_processor_is_asked_before_bf16_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_processor_has_bf16", lambda: True)
    assert set(candidates(CPU)[0]) == set(PRECISIONS)
    assert "bf16" in machine(CPU)
    monkeypatch.setattr(precision, "_processor_has_bf16", lambda: False)
    names, why = candidates(CPU)
    assert set(names) == {"fp32", "fp32_channels_last"}
    assert "no instructions" in why
    assert "bf16" not in machine(CPU)
    monkeypatch.setattr(precision, "measure", lambda *rest: Trial({"fp32": 1.0}, complete=True))
    job = toy_job(phases=[phase()], precision="auto")
    fit(job)
    made = next(d for d in job.decisions.as_list() if d["name"] == "precision: p")
    assert "no instructions" in made["reason"]


def test_instructions_that_are_switched_off_are_not_there() -> None:
    ask = "from foveate.training.precision import _processor_has_bf16 as f; print(f())"
    less = os.environ | {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    answer = subprocess.run([sys.executable, "-c", ask], env=less, capture_output=True, text=True, check=True)
    if platform.machine().lower() in ("x86_64", "amd64"):
        assert answer.stdout.strip() == "False"


@pytest.mark.parametrize("name", PRECISIONS)
def test_autocast_and_layout_follow_the_name(name: str) -> None:
    with Precision(name).autocast(CPU):
        out = torch.nn.functional.linear(torch.ones(2, 3), torch.ones(2, 3))
    assert out.dtype == (torch.bfloat16 if name.startswith("bf16") else torch.float32)
    channels_last = Precision(name).memory_format == torch.channels_last
    assert channels_last == name.endswith("channels_last")


def test_remembered_by_key(tmp_path: Path) -> None:
    memory = tmp_path / "precision.json"
    asked: list[str] = []

    def decide(value: str, sure: bool = True) -> tuple[str, str, bool]:
        asked.append(value)
        return value, "measured", sure

    assert remembered(memory, "one", lambda: decide("bf16")) == ("bf16", "measured")
    value, reason = remembered(memory, "one", lambda: decide("fp32"))
    assert (value, "remembered" in reason) == ("bf16", True)
    assert remembered(memory, "two", lambda: decide("fp32"))[0] == "fp32"
    assert asked == ["bf16", "fp32"]
    assert remembered(memory, "three", lambda: decide("cut short", sure=False))[0] == "cut short"
    assert set(read_memo(memory)) == {"one", "two"}
    assert remembered(None, "one", lambda: decide("none"))[0] == "none"


def test_machine_names_threads_and_torch() -> None:
    assert torch.__version__ in machine(CPU)
    assert f"{torch.get_num_threads()} threads" in machine(CPU)


def test_auto_is_decided_once_for_each_kind_of_pass(tmp_path: Path) -> None:
    phases = [phase(name="part", trainable="from:stages.1"), phase(name="all")]
    first = toy_job(folder=tmp_path, phases=phases, precision="auto")
    fit(first)
    made = {d["name"]: d["value"] for d in first.decisions.as_list() if d["name"].startswith("precision")}
    assert set(made) == {"precision: part", "precision: all"}
    assert set(made.values()) <= set(PRECISIONS)


@pytest.mark.parametrize("name", PRECISIONS)
def test_every_precision_trains(name: str) -> None:
    history = fit(toy_job(phases=[phase(epochs=3)], precision=name))
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_fp16_is_refused_where_it_is_not_computed() -> None:
    with pytest.raises(
        ConfigError, match=r"precision=fp16 needs an accelerator.* cpu; set training.precision=auto"
    ):
        toy_job(phases=[phase()], precision="fp16")


def test_fp16_scales_gradients_and_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the processor, which computes it slowly: what is tested is the scale and its state."""
    monkeypatch.setattr(precision, "SCALED", ("cpu",))

    def job(**more: object) -> Job:
        settings = {"precision": "fp16", "clip": 1.0, "checkpoint_seconds": 0.0}
        return toy_job(phases=[phase(epochs=3)], **settings, **more)

    whole = job()
    history = fit(whole)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    with pytest.raises(KeyboardInterrupt):
        fit(job(folder=tmp_path, observer=Stop(6)))
    found = load_checkpoint(tmp_path / "checkpoint")
    assert found is not None
    assert found[1]["scaler"]["scale"] == 2.0**16
    assert found[1]["scaler"]["_growth_tracker"] > 0
    again = job(folder=tmp_path)
    fit(again)
    expected, ours = weights_of(whole), weights_of(again)
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_gradients_that_overflow_in_fp16_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "SCALED", ("cpu",))
    large = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    monkeypatch.setattr(Precision, "scaler", lambda *anything: large)
    job = toy_job(phases=[phase(epochs=1)], precision="fp16")
    before = {name: value.clone() for name, value in job.model.named_parameters()}
    fit(job)
    assert all(torch.equal(value, before[name]) for name, value in job.model.named_parameters())
    assert large.get_scale() == 2.0 ** (60 - len(job.feeds.train(job.batch_size, None)))
