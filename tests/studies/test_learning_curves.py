"""Mean curves against numbers worked out by hand."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from foveate.studies.learning_curves import columns, mean_curves, phase_starts, write_curves
from foveate.studies.results import StudyResults


def results(histories: dict[str, dict[int, list[float]]]) -> StudyResults:
    rows = {
        arm: {
            seed: [{"epoch": float(e), "phase": 0.0, "val_loss": v} for e, v in enumerate(values, start=1)]
            for seed, values in runs.items()
        }
        for arm, runs in histories.items()
    }
    arms = tuple(histories)
    return StudyResults("s", arms, arms[0], (1, 2), (), {}, histories=rows)


STUDY = results({"plain": {1: [4, 2, 1], 2: [6, 4, 3, 2]}, "guided": {1: [3, 1], 2: [5, 3, 9, 9, 9]}})


def test_trimmed_to_the_shortest_run_of_all_arms() -> None:
    curves = mean_curves(STUDY, "val_loss")
    assert curves["plain"].epoch.tolist() == [1, 2]
    assert curves["plain"].mean.tolist() == [5, 3]
    assert curves["plain"].std == pytest.approx([math.sqrt(2)] * 2)
    assert curves["guided"].mean.tolist() == [4, 2]
    assert curves["plain"].training.tolist() == curves["plain"].n.tolist() == [2, 2]


def test_to_the_end_a_run_that_ended_carries_its_last_value() -> None:
    curves = mean_curves(STUDY, "val_loss", "end")
    assert curves["plain"].epoch.tolist() == [1, 2, 3, 4]
    assert curves["plain"].mean.tolist() == [5, 3, 2, 1.5]  # (3 + 1) / 2, (2 + 1) / 2
    assert curves["plain"].training.tolist() == [2, 2, 2, 1]
    assert curves["guided"].mean.tolist() == [4, 2, 5, 5, 5]
    assert curves["guided"].n.tolist() == [2] * 5


def test_shortest_is_the_beginning_of_end() -> None:
    for arm, short in mean_curves(STUDY, "val_loss").items():
        long = mean_curves(STUDY, "val_loss", "end")[arm]
        n = len(short.epoch)
        for name in ("epoch", "n", "training", "mean", "std"):
            np.testing.assert_array_equal(getattr(short, name), getattr(long, name)[:n])


def test_columns_that_are_missing_or_not_finite() -> None:
    study = results({"plain": {1: [1, math.nan, 3], 2: [2, 2, 2]}, "guided": {}})
    curve = mean_curves(study, "val_loss")["plain"]
    assert curve.n.tolist() == [2, 1, 2]
    assert curve.mean.tolist() == [1.5, 2, 2.5]
    assert math.isnan(curve.std[1])
    assert "guided" not in mean_curves(study, "val_loss")
    assert mean_curves(study, "val_accuracy") == {}
    assert columns(study) == ("val_loss",)


def test_the_file_reads_back(tmp_path: Path) -> None:
    write_curves(tmp_path / "curves.csv", {"": STUDY})
    with open(tmp_path / "curves.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for arm, curve in mean_curves(STUDY, "val_loss", "end").items():
        ours = [row for row in rows if row["arm"] == arm]
        assert [float(row["mean"]) for row in ours] == curve.mean.tolist()
        assert [float(row["std"]) for row in ours] == curve.std.tolist()
        assert [int(row["training"]) for row in ours] == curve.training.tolist()


def test_phases_are_marked_where_all_runs_begin_them() -> None:
    def run(*phases: float) -> list[dict[str, float]]:
        return [{"epoch": float(e), "phase": phase} for e, phase in enumerate(phases, start=1)]

    def study(*runs: list[dict[str, float]]) -> StudyResults:
        return StudyResults("s", ("a",), "a", (1, 2), (), {}, histories={"a": dict(enumerate(runs))})

    assert phase_starts(study(run(0, 0, 1, 1, 2), run(0, 0, 1, 2, 2))) == (3,)
    assert phase_starts(study(run(0, 0, 0), run(0))) == ()
    assert phase_starts(StudyResults("s", ("a",), "a", (1,), (), {})) == ()
