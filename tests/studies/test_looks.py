"""Planned looks: published boundaries, false alarms by simulation, and what a study says of itself as it grows."""

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from foveate.core.errors import ConfigError, StudyError
from foveate.core.files import write_json, write_text
from foveate.reporting.study_folder import note_look
from foveate.studies.analysis import analyse
from foveate.studies.looks import Spending, Stage, nominal, sequential
from foveate.studies.results import Metric, StudyResults
from foveate.studies.specification import Study
from foveate.studies.study_reader import stage_of

SCORE = Metric("score", "Score")
FIVE = (1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("spending", "boundaries"),
    [
        ("obrien-fleming", [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        ("pocock", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_boundaries_of_the_tables(spending: Spending, boundaries: list[float]) -> None:
    """Five equal looks, 5 % two-sided: Lan-DeMets boundaries as Reboussin et al. (2000) and R's gsDesign print them."""
    found = [stats.norm.isf(nominal(FIVE, look, 0.05, spending) / 2) for look in FIVE]
    assert found == pytest.approx(boundaries, abs=2e-4)


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
@pytest.mark.parametrize("looks", [(5, 10), (4, 6, 20)])
def test_the_sequential_p_is_the_level_that_would_stop(looks: tuple[int, ...], spending: Spending) -> None:
    for look in range(1, len(looks) + 1):
        for alpha in (0.001, 0.05, 0.3):
            p = nominal(looks, look, alpha, spending)
            assert sequential(p, looks, look, spending) == pytest.approx(alpha, rel=1e-3)
        assert sequential(1.0, looks, look, spending) == 1.0


def results(arms: np.ndarray, stage: Stage) -> StudyResults:
    """(A, S) values; the first arm is the baseline."""
    names = tuple(f"arm {i}" for i in range(len(arms)))
    values = {name: dict(enumerate(map(float, row))) for name, row in zip(names, arms, strict=True)}
    return StudyResults(
        "grown", names, names[0], tuple(range(arms.shape[1])), (SCORE,), {SCORE.name: values}, stage=stage
    )


@pytest.mark.slow
@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
@pytest.mark.parametrize("looks", [(5, 10), (4, 8, 12, 16)])
def test_false_alarms_of_planned_looks(
    looks: tuple[int, ...], spending: Spending, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Studies of three arms that stop at the first look with a difference: 5 % of those without one, however often they
    look; the plain p-value raises 9 % and more."""
    monkeypatch.setattr(gc, "collect", lambda: 0)  # statsmodels' Holm collects garbage every time
    rng, studies, alarms, plain = np.random.default_rng(0), 600, 0, 0
    for _ in range(studies):
        values = rng.normal(0, 1, (3, looks[-1]))
        found = [analyse(results(values[:, :n], Stage(looks, n, spending))) for n in looks]
        alarms += any(o == "better" or o == "worse" for one in found for o in one.outcomes["score"].values())
        plain += any((one.comparisons["score"]["arm 1"].p or 1) <= 0.05 for one in found)
    assert alarms <= stats.binom.ppf(0.999, studies, 0.05)
    assert plain / studies > 0.065


def test_a_look_is_in_the_interval_and_in_the_words() -> None:
    rng = np.random.default_rng(1)
    values = np.stack([rng.normal(0, 1, 5), rng.normal(3, 1, 5)])
    found = analyse(results(values, Stage((5, 10), 5)))
    one = found.comparisons["score"]["arm 1"]
    test = stats.ttest_rel(values[1], values[0])
    level = nominal((5, 10), 1, 0.05, "obrien-fleming")
    interval = test.confidence_interval(1 - level)
    assert one.p == pytest.approx(test.pvalue)
    assert (one.low, one.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert one.p_holm is not None
    assert one.p_holm > test.pvalue, "a look spends only its share"
    assert (found.outcomes["score"]["arm 1"] == "better") == (test.pvalue <= level)
    assert found.notes[0].startswith(
        "Look 1 of 2, planned at 5 and 10 seeds: p counts all of them (O'Brien-Fleming"
    )
    assert found.notes[0].endswith("; the next is at 10 seeds.")


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        ((5,), "planned for 5 seeds, was looked at, and then grew to 6"),
        ((10,), "6 of 10 planned seeds are done; verdicts count"),
        ((5, 10), "6 of 10 planned seeds are done, and a look was planned at 5 and 10"),
    ],
)
def test_another_number_of_seeds_is_exploratory(looks: tuple[int, ...], words: str) -> None:
    rng = np.random.default_rng(2)
    values = np.stack([rng.normal(0, 1, 6), rng.normal(9, 1, 6)])
    found = analyse(results(values, Stage(looks, 6)))
    assert words in found.notes[0]
    assert found.verdicts["score"]["arm 1"].startswith("exploratory: better: higher by ")
    counted = analyse(results(values, Stage((6,), 6)))
    assert counted.verdicts["score"]["arm 1"].startswith("better: higher by ")
    assert counted.notes[0] == (
        "One look was planned, at 6 seeds: more seeds after it make the verdicts exploratory."
    )
    assert counted.comparisons == found.comparisons


def finished(folder: Path, study: Study) -> Stage:
    for cell in study.cells():
        write_json(folder / "cells" / cell.key / "result.json", {})
    return stage_of(study, folder)


def test_more_seeds_after_a_look(tmp_path: Path) -> None:
    """What was planned at the first look stays the plan, whatever the study's file says later."""
    grown = {n: Study(name="s", seeds=tuple(range(n))) for n in (4, 8)}
    assert finished(tmp_path, grown[4]) == Stage((4,), 4)
    assert stage_of(grown[8], tmp_path) == Stage((8,), 4), "nobody has looked yet"
    measured = {
        "": (results(np.zeros((2, 4)), Stage((4,), 4)), analyse(results(np.zeros((2, 4)), Stage((4,), 4))))
    }
    note_look(tmp_path, measured)
    assert finished(tmp_path, grown[8]) == Stage((4,), 8)
    write_json(tmp_path / "looks.json", {"planned": "many"})
    with pytest.raises(StudyError, match="does not say how many seeds were planned; remove it"):
        stage_of(grown[8], tmp_path)
    (tmp_path / "looks.json").unlink()
    planned = {n: grown[n].model_copy(update={"looks": (4, 8)}) for n in (4, 8)}
    assert stage_of(planned[8], tmp_path) == Stage((4, 8), 8)
    assert stage_of(planned[8], tmp_path).look == 2


def test_a_failed_cell_is_done(tmp_path: Path) -> None:
    study = Study(name="s", seeds=(0, 1))
    first, second = study.cells()
    write_json(tmp_path / "cells" / first.key / "result.json", {})
    assert stage_of(study, tmp_path).done == 1
    write_text(tmp_path / "cells" / f"{second.key}.failed.json", "{}")
    assert stage_of(study, tmp_path).done == 2


def test_the_primary_comparison_is_tested_alone() -> None:
    rng = np.random.default_rng(3)
    made = results(rng.normal(0, 1, (4, 6)), Stage((6,), 6))
    together = analyse(made).comparisons["score"]
    alone = analyse(replace(made, primary="score", primary_arm="arm 2"))
    first = alone.comparisons["score"]["arm 2"]
    assert (first.p_holm, first.family) == (together["arm 2"].p, 1)
    p = [together[arm].p or 0 for arm in ("arm 1", "arm 3")]
    others = [alone.comparisons["score"][arm].p_holm for arm in ("arm 1", "arm 3")]
    assert min(others) == pytest.approx(min(1.0, 2 * min(p)))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"looks": [10, 5]}, "looks are growing numbers"),
        ({"looks": [1, 2], "split": "folds"}, "folds of the same pictures have one look"),
        ({"primary_arm": "c", "arms": {"a": {}, "b": {}}}, "'c' is not one of the arms"),
        ({"primary_arm": "a", "arms": {"a": {}, "b": {}}}, "'a' is not one of the arms beside"),
        ({"primary": "test.nll", "metrics": ["test.accuracy"]}, "is not among the study's metrics"),
    ],
)
def test_plans_that_cannot_be(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Study.from_dict({"name": "s", **changes})
