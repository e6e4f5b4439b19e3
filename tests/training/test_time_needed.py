"""The figure of time before a training: its arithmetic, and that it changes nothing."""

from pathlib import Path

import numpy as np
import pytest

from foveate.core.durations import about, duration
from foveate.experiment import run
from foveate.training import time_needed as module
from foveate.training.decisions import FILE, Decision, read_decisions
from foveate.training.observers import Observer
from foveate.training.precision import Trial
from foveate.training.time_needed import FirstPictures
from training_helpers import experiment


def test_minutes_in_words() -> None:
    cases = {0.2: "1 s", 29: "29 s", 31: "1 min", 3600: "1 h 0 min", 7800: "2 h 10 min"}
    assert {seconds: about(seconds) for seconds in cases} == cases
    measured = {0.1234: "0.123 s", 59: "59 s", 61: "1 min 1 s", 3600: "1 h 0 min", 7859: "2 h 10 min"}
    assert {seconds: duration(seconds) for seconds in measured} == measured


def test_the_first_pictures_foretell_the_others_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Decision] = []
    observer = Observer()
    monkeypatch.setattr(observer, "decision", told.append)
    clock = iter([100.0, 108.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    first = FirstPictures(100, observer)
    for count in (4, 8, 100):
        first.done(count)
    assert (
        [decision.value for decision in told] == ["about 3 min"] == [first.said]
    )  # 2 s a picture, 96 are left
    assert "96 pictures more" in told[0].reason
    monkeypatch.undo()
    few = FirstPictures(4, observer)
    few.done(4)
    assert few.said is None


def test_epochs_times_pictures_over_the_rates(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measure(
        step: object, sample: object, model: object, device: object, batch: int, names: tuple, **how: object
    ):
        asked.append(names)
        return Trial({names[0]: 50.0 if len(asked) == 1 else 10.0}, complete=True)  # looking, then training

    monkeypatch.setattr(module, "measure", measure)
    told: dict[str, float] = {}
    real = module.time_needed
    monkeypatch.setattr(
        "foveate.training.loop.time_needed", lambda job: told.setdefault("seconds", real(job))
    )
    done = run(experiment(), tree, tmp_path / "run", timed=True)
    train, val = (len(done.catalog.indices(split)) for split in ("train", "val"))
    head = (2 * train + val) / 50  # two views of each picture, looked at once
    assert told["seconds"] == pytest.approx(head + 3 * (train / 10 + val / 50))
    assert asked == [("fp32_channels_last",)] * 2
    (made,) = (d for d in read_decisions(done.folder / FILE) if d.name == "time needed")
    assert made.value == f"about {about(told['seconds'])}"


def test_where_the_precision_is_still_to_be_chosen_the_faster_of_two_counts(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measure(*rest: object, **how: object) -> Trial:
        asked.append(rest[5])
        return Trial(dict(zip(rest[5], (10.0, 20.0), strict=True)), complete=True)

    monkeypatch.setattr(module, "measure", measure)
    monkeypatch.setattr(module, "candidates", lambda device: (("fp32", "bf16_channels_last", "bf16"), ""))
    told: dict[str, float] = {}
    real = module.time_needed
    monkeypatch.setattr(
        "foveate.training.loop.time_needed", lambda job: told.setdefault("seconds", real(job))
    )
    done = run(experiment(training={"precision": "auto"}), tree, tmp_path / "run", timed=True)
    train, val = (len(done.catalog.indices(split)) for split in ("train", "val"))
    assert told["seconds"] == pytest.approx((2 * train + val) / 20 + 3 * (train + val) / 20)
    assert set(asked) == {("fp32", "bf16_channels_last")}


def test_timing_changes_nothing(tree: Path, tmp_path: Path) -> None:
    changes = {
        "transforms": [{"kind": "background_swap", "p": 0.5}],
        "objective": {"look": {"kind": "spatial_energy"}},
    }
    timed = run(experiment(**changes), tree, tmp_path / "timed", timed=True)
    plain = run(experiment(**changes), tree, tmp_path / "plain")
    assert np.array_equal(timed.predictions.probabilities, plain.predictions.probabilities)
    losses = [[row["train_loss"] for row in one.history] for one in (timed, plain)]
    assert losses[0] == losses[1]
    assert "time needed" not in (plain.folder / FILE).read_text()
