"""Finders: real steps of a copy; the run afterwards is as if they had not been there."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from foveate.core.errors import ConfigError, TrainingError
from foveate.core.progress import Progress
from foveate.data.batch import Batch
from foveate.training import finders, fit
from foveate.training.batch_size import decide_batch_size
from foveate.training.finders import find_batch_size, find_learning_rate
from training_helpers import phase, toy_job, weights_of

AUTO = phase(lr="auto", epochs=2)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("trainable", ["head", "all"])
def test_a_run_with_lr_auto_is_the_run_with_the_number_given(tmp_path: Path, trainable: str) -> None:
    found = toy_job(folder=tmp_path, dropout=0.3, phases=[{**AUTO, "trainable": trainable}])
    history = fit(found)
    decision = next(d for d in found.decisions.as_list() if d["name"] == "learning rate: p")
    assert "range test" in decision["reason"]
    assert json.loads((tmp_path / "decisions.json").read_text()) == found.decisions.as_list()
    given = toy_job(dropout=0.3, phases=[{**AUTO, "trainable": trainable, "lr": decision["value"]}])
    plain = fit(given)
    assert equal(weights_of(found), weights_of(given))
    assert [row["val_loss"] for row in history] == [row["val_loss"] for row in plain]


def sweep(model: torch.nn.Module, seed: int = 0, **options: Any) -> finders.LearningRateSweep:
    """Least squares in one dimension: loss = (w - 3)^2 / 2, gradient descent diverges from a rate of 2 on."""

    class Feed:
        def __len__(self) -> int:
            return 4

        def epoch(self, epoch: int, start: int = 0) -> Any:
            yield from [torch.ones(1)] * 4

    def optimizer_for(network: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": list(network.parameters()), "lr_factor": 1.0}], lr=lr)

    def loss(network: torch.nn.Module, batch: torch.Tensor, number: int) -> torch.Tensor:
        torch.rand(3)  # as dropout would
        return (network(batch) - 3).square().sum() / 2

    return find_learning_rate(model, Feed(), loss, optimizer_for, seed=seed, **options)  # type: ignore[arg-type]


def test_the_suggestion_is_sensible_and_nothing_is_touched() -> None:
    torch.manual_seed(3)
    model = torch.nn.Linear(1, 1, bias=False)
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    found = sweep(model, lowest=1e-5, highest=100.0)
    assert equal(before, model.state_dict())
    assert model.weight.grad is None
    assert torch.equal(state, torch.random.get_rng_state())
    assert 1e-2 < found.suggestion < 2.0, "below divergence, and not crawling"
    assert found.rates[-1] < 100.0, "it stopped when the loss blew up"
    assert max(found.losses[:-1]) < 3 * found.losses[0] + 1e-9
    assert found.suggestion == float(f"{found.suggestion:.1e}")
    assert sweep(model, lowest=1e-5, highest=100.0) == found


def test_a_loss_that_is_never_finite_is_an_error() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="not finite at its very first"):
        sweep(model)


class Clock:
    """A clock that a fake step moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(finders, "time", clock)
    monkeypatch.setattr(finders, "_used", lambda device: 0)
    return clock


def test_the_smallest_batch_within_a_tenth_of_the_fastest(clock: Clock) -> None:
    model = torch.nn.Linear(1, 1)
    seen: list[int] = []

    def step(network: torch.nn.Module, size: int) -> None:
        assert network is not model
        with torch.no_grad():
            network.weight.add_(1.0)  # type: ignore[operator, union-attr]
        seen.append(size)
        # pictures/s: 8: 50, 16: 80, 32: 95, 64: 100, 128: 90
        clock.now += size / {8: 50, 16: 80, 32: 95, 64: 100, 128: 90}[size]

    before = copy.deepcopy(model.state_dict())
    size, reason = find_batch_size(step, model, torch.device("cpu"), pictures=1100)  # type: ignore[arg-type]
    assert size == 32
    assert seen == [8, 8, 16, 16, 32, 32, 64, 64, 128, 128]
    assert equal(before, model.state_dict())
    assert "64: 100" in reason
    assert "1100 pictures" in reason


def test_it_stops_at_the_memory(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(network: torch.nn.Module, size: int) -> None:
        if size > limit:
            raise torch.OutOfMemoryError("too much")
        clock.now += 1.0

    model, cpu = torch.nn.Linear(1, 1), torch.device("cpu")
    limit = 32
    size, reason = find_batch_size(step, model, cpu, pictures=10_000)  # type: ignore[arg-type]
    assert size == 32
    assert "64 did not fit into memory" in reason
    limit = 4
    with pytest.raises(TrainingError, match="Not even a batch of 8"):
        find_batch_size(step, model, cpu, pictures=10_000)  # type: ignore[arg-type]
    limit = 10_000
    used = iter([0, 50, 0, 100, 0, 200])
    monkeypatch.setattr(finders, "_used", lambda device: next(used))
    monkeypatch.setattr(finders, "_free", lambda device: 300)
    size, reason = find_batch_size(step, model, cpu, pictures=10_000)  # type: ignore[arg-type]
    assert size == 16, "the step of 16 took 100 of 300, so one of 32 would take more than 60 %"
    assert "60 %" in reason


def test_it_begins_and_ends_where_it_is_told(clock: Clock) -> None:
    seen: list[int] = []

    def step(network: torch.nn.Module, size: int) -> None:
        seen.append(size)
        clock.now += 1.0

    model, cpu = torch.nn.Linear(1, 1), torch.device("cpu")
    size, reason = find_batch_size(step, model, cpu, pictures=10_000, start=3, largest=30)  # type: ignore[arg-type]
    assert seen == [3, 3, 6, 6, 12, 12, 24, 24]
    assert size == 24
    assert "no more than 30 are asked for" in reason
    with pytest.raises(ConfigError, match="start 9 is beyond largest 8"):
        toy_job(batch_size="auto", batch_search={"start": 9, "largest": 8}, phases=[phase()])


def test_trial_steps_have_the_transforms_of_training() -> None:
    shown: list[tuple[int, bool]] = []

    def transform(batch: Batch, model: torch.nn.Module, rng: object, progress: Progress) -> Batch:
        shown.append((len(batch), progress.epoch >= 1000))
        return batch

    search = {"start": 2, "largest": 4}
    job = toy_job(batch_size="auto", batch_search=search, phases=[phase()], transforms=(transform,))
    assert decide_batch_size(job).batch_size in (2, 4)
    assert shown == [(2, True), (2, True), (4, True), (4, True)]


def test_batch_size_auto_leaves_the_network_alone_and_is_remembered(tmp_path: Path) -> None:
    job = toy_job(folder=tmp_path, batch_size="auto", phases=[phase()])
    before = weights_of(job)
    decided = decide_batch_size(job)
    assert decided.batch_size == 8, "32 pictures: no batch beyond 8 keeps eight steps"
    assert equal(before, weights_of(job))
    assert [p.grad for p in job.model.parameters()] == [None] * len(list(job.model.parameters()))
    changed = json.loads((tmp_path / "decisions.json").read_text())
    changed[0]["value"] = 4
    (tmp_path / "decisions.json").write_text(json.dumps(changed))
    assert decide_batch_size(toy_job(folder=tmp_path, batch_size="auto", phases=[phase()])).batch_size == 4
