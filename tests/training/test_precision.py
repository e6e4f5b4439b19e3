"""Precision: measured on copies, chosen by time, remembered by key."""

import json
from pathlib import Path

import pytest
import torch

from foveate.training import fit, precision
from foveate.training.precision import PRECISIONS, Precision, choose, machine, measure, remembered
from training_helpers import phase, toy_job

CPU = torch.device("cpu")


def test_choose_wants_three_percent() -> None:
    assert choose({"fp32": 1.0, "bf16": 0.98}, 32)[0] == "fp32"
    assert choose({"fp32": 1.0, "bf16": 0.96, "fp32_channels_last": 0.97}, 32)[0] == "bf16"
    assert choose({"fp32": 2.0, "fp32_channels_last": 1.0}, 32) == (
        "fp32_channels_last",
        "measured here, pictures/s: fp32 16, fp32_channels_last 32",
    )


def test_measure_takes_the_median_of_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(precision, "time", clock)
    seconds = {"fp32": iter([9, 1, 1, 1, 1, 50, 50]), "fp32_channels_last": iter([9, 2, 2, 2, 2, 2, 2])}
    model = torch.nn.Conv2d(2, 2, 1)

    def step(network: torch.nn.Module, candidate: Precision) -> None:
        assert network is not model
        if candidate.name.startswith("bf16"):
            raise RuntimeError("not on this device")
        layout = network.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr, operator]
        assert layout or not candidate.name.endswith("channels_last")
        clock.now += next(seconds[candidate.name])

    assert measure(step, model, CPU) == {"fp32": 1.0, "fp32_channels_last": 2.0}  # type: ignore[arg-type]

    def broken(network: torch.nn.Module, candidate: Precision) -> None:
        raise RuntimeError("the pass itself is broken")

    with pytest.raises(RuntimeError, match="itself is broken"):
        measure(broken, model, CPU)  # type: ignore[arg-type]


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

    def decide(value: str) -> tuple[str, str]:
        asked.append(value)
        return value, "measured"

    assert remembered(memory, "one", lambda: decide("bf16")) == ("bf16", "measured")
    value, reason = remembered(memory, "one", lambda: decide("fp32"))
    assert (value, "remembered" in reason) == ("bf16", True)
    assert remembered(memory, "two", lambda: decide("fp32"))[0] == "fp32"
    assert asked == ["bf16", "fp32"]
    assert set(json.loads(memory.read_text())) == {"one", "two"}
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
