"""Schedules against torch's own and against the published formula."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.training.schedules import (
    Constant,
    Cosine,
    CosineWave,
    Cyclical,
    Milestones,
    OneCycle,
    Plateau,
    Step,
)

MODES = st.sampled_from(["triangular", "triangular2", "exp_range"])


def torch_rates(make: object, steps: int, lr: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)  # type: ignore[operator]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@settings(max_examples=25, deadline=None)
@given(total=st.integers(5, 200), rise=st.floats(0.1, 0.6), lr=st.floats(1e-4, 1.0))
def test_one_cycle_is_torchs(total: int, rise: float, lr: float) -> None:
    schedule = OneCycle(rise=rise)
    expected = torch_rates(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, lr, total_steps=total, pct_start=rise), total, lr
    )
    ours = [lr * schedule.factor(s, 1, total, lr) for s in range(total)]
    # torch starts at peak / 25 and ends at start / 1e4, which are our shares 0.04 and 4e-6.
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_cyclical_is_torchs(mode: str) -> None:
    gamma = 0.999 if mode == "exp_range" else 1.0
    schedule = Cyclical(lower=1e-5, mode=mode, half_cycle_epochs=3, gamma=gamma)
    expected = torch_rates(
        lambda o: torch.optim.lr_scheduler.CyclicLR(
            o, 1e-5, 1e-3, step_size_up=21, mode=mode, gamma=gamma, cycle_momentum=False
        ),
        140,
        1e-3,
    )
    ours = [1e-3 * schedule.factor(s, 7, 140, 1e-3) for s in range(140)]
    assert ours == pytest.approx(expected, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(t=st.integers(0, 5000), epochs=st.integers(2, 8), per_epoch=st.integers(1, 50), mode=MODES)
def test_cyclical_is_smiths_formula(t: int, epochs: int, per_epoch: int, mode: str) -> None:
    low, high, gamma = 1e-6, 1e-4, 0.9995
    s = epochs * per_epoch
    cycle = math.floor(1 + t / (2 * s))
    x = abs(t / s - 2 * cycle + 1)
    scale = {"triangular": 1.0, "triangular2": 1 / 2 ** (cycle - 1), "exp_range": gamma**t}[mode]
    expected = low + (high - low) * max(0.0, 1 - x) * scale
    schedule = Cyclical(lower=low, mode=mode, half_cycle_epochs=epochs, gamma=gamma)
    assert high * schedule.factor(t, per_epoch, 10_000, high) == pytest.approx(expected, rel=1e-9)


def test_a_switched_range_goes_on_where_the_cycle_was() -> None:
    whole = Cyclical(lower=1e-6, half_cycle_epochs=5)
    later = Cyclical(lower=1e-6, half_cycle_epochs=5, offset_epochs=15)
    for step in range(40):
        assert later.factor(step, 10, 400, 1e-4) == pytest.approx(whole.factor(step + 150, 10, 400, 1e-4))


def test_cosine_is_torchs_after_the_warm_up() -> None:
    schedule = Cosine(warmup_epochs=2, final=0.1)
    factors = [schedule.factor(s, 7, 70, 1.0) for s in range(70)]
    assert factors[0] == pytest.approx(0.01)
    assert factors[:15] == sorted(factors[:15])
    expected = torch_rates(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=56, eta_min=0.1), 56, 1.0
    )
    assert factors[14:] == pytest.approx(expected, rel=1e-6)


def test_step_is_torchs() -> None:
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=21, gamma=0.3), 70, 1.0)
    assert [Step(every_epochs=3, gamma=0.3).factor(s, 7, 70, 1.0) for s in range(70)] == pytest.approx(
        expected
    )


def test_milestones_are_torchs() -> None:
    make = lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [14, 35], gamma=0.1)  # noqa: E731
    schedule = Milestones(epochs=(2, 5))
    assert [schedule.factor(s, 7, 70, 1.0) for s in range(70)] == pytest.approx(torch_rates(make, 70, 1.0))


def test_the_wave_is_torchs_cosine_stepped_too_often() -> None:
    make = lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20)  # noqa: E731
    found = [CosineWave(half_period=20).factor(s, 7, 70, 1.0) for s in range(70)]
    assert found == pytest.approx(torch_rates(make, 70, 1.0), abs=1e-9)
    assert found[40] == 1.0, "where a period ends it is at its top again"


def test_constant_is_one() -> None:
    assert {Constant().factor(s, 7, 70, 0.1) for s in range(70)} == {1.0}


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.floats(0.1, 2.0), max_size=40), patience=st.integers(0, 4))
def test_replayed_plateau_is_torchs_step_by_step(values: list[float], patience: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", 0.2, patience, 1e-4)
    schedule = Plateau(patience=patience)
    for n, value in enumerate(values):
        scheduler.step(value)
        assert schedule.replay(values[: n + 1]) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_plateau_looks_for_the_highest_accuracy() -> None:
    assert Plateau(metric="val_accuracy", patience=1).replay([0.1, 0.2, 0.3, 0.4, 0.5]) == 1.0
    assert Plateau(metric="val_accuracy", patience=1).replay([0.5, 0.4, 0.4]) == pytest.approx(0.2)
