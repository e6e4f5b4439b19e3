"""Looking right and being right: against plain formulas, and the intervals by simulation."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from foveate.studies.relation import LOOK, relate, words
from foveate.studies.results import Metric, Pictures, StudyResults

ACCURACY = Metric("test.accuracy", "Test accuracy", percent=True)


def study(
    look: np.ndarray, right: np.ndarray, pictures: dict[str, dict[int, Pictures]] | None = None
) -> StudyResults:
    """(A, S) of both."""
    arms = tuple(f"arm {k}" for k in range(len(look)))
    values = {
        name: {arm: dict(enumerate(map(float, row))) for arm, row in zip(arms, table, strict=True)}
        for name, table in ((LOOK, look), (ACCURACY.name, right))
    }
    return StudyResults("s", arms, "arm 0", tuple(range(look.shape[1])), (ACCURACY,), values, pictures or {})


def draw(
    rng: np.random.Generator, arms: int, seeds: int, within: float, between: float
) -> tuple[np.ndarray, np.ndarray]:
    """Cells with these correlations of arms' means and within arms, and seeds that are easy for both."""

    def pair(r: float, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(0, 1, shape)
        return x, r * x + np.sqrt(1 - r * r) * rng.normal(0, 1, shape)

    arm, cell, seed = pair(between, (arms, 1)), pair(within, (arms, seeds)), rng.normal(0, 2, seeds)
    return arm[0] + cell[0] + seed, arm[1] + cell[1] + seed


def test_numbers_by_plain_formulas() -> None:
    look, right = draw(np.random.default_rng(0), 6, 5, 0.5, 0.0)
    right[2, 3] = np.nan
    results = study(look, right)
    del results.values[ACCURACY.name]["arm 2"][3]
    found = relate(results, ACCURACY)
    assert found is not None
    known = np.isfinite(right)
    assert found.cells == pytest.approx(stats.pearsonr(look[known], right[known]).statistic)
    arm, seed = (index[known] for index in np.indices(look.shape))
    marks = np.column_stack([np.eye(6)[arm], np.eye(5)[seed][:, 1:]])
    left = [sm.OLS(values[known], marks).fit().resid for values in (look, right)]
    r = stats.pearsonr(*left).statistic
    assert found.within is not None
    assert found.within.r == pytest.approx(r)
    reach = 1.959964 / np.sqrt(29 - 9 - 3)
    assert (found.within.low, found.within.high) == (
        pytest.approx(np.tanh(np.arctanh(r) - reach)), pytest.approx(np.tanh(np.arctanh(r) + reach))
    )  # fmt: skip
    means = [np.array([values[k][known[k]].mean() for k in range(6)]) for values in (look, right)]
    between = stats.pearsonr(*means)
    interval = between.confidence_interval()
    assert found.arms is not None
    assert (found.arms.r, found.arms.low, found.arms.high, found.arms.n) == (
        pytest.approx(between.statistic), pytest.approx(interval.low), pytest.approx(interval.high), 6
    )  # fmt: skip
    assert found.pictures is None


def test_pictures_within_a_cell() -> None:
    rng = np.random.default_rng(1)
    pictures: dict[str, dict[int, Pictures]] = {"arm 0": {}, "arm 1": {}}
    expected = []
    for seed in range(4):
        rs = []
        for arm in pictures:
            energy = rng.random(60)
            energy[:5] = np.nan
            correct = rng.random(60) < np.nan_to_num(energy, nan=0.5)
            pictures[arm][seed] = Pictures(tuple(f"{i:02d}" for i in range(60)), correct, energy)
            rs.append(stats.pointbiserialr(correct[5:], energy[5:]).statistic)
        expected.append(np.mean(rs))
    found = relate(study(*draw(rng, 2, 4, 0, 0), pictures), ACCURACY)
    assert found is not None
    assert found.pictures is not None
    interval = stats.ttest_1samp(expected, 0).confidence_interval()
    assert (found.pictures.mean, found.pictures.low) == (
        pytest.approx(np.mean(expected)),
        pytest.approx(interval.low),
    )
    assert found.arms is None
    text = words(found, ACCURACY)
    assert text.startswith("Looking right (energy in mask) and being right (Test accuracy): r = ")
    assert "over the test pictures within a cell" in text
    assert ("they go together" in text) == (found.pictures.low > 0)  # type: ignore[operator]


def test_nothing_to_relate() -> None:
    look, right = draw(np.random.default_rng(2), 3, 1, 0, 0)
    assert relate(study(look, right), ACCURACY) is None, "3 cells"
    assert relate(study(np.ones((3, 4)), np.ones((3, 4))), ACCURACY) is None, "no spread"


@pytest.mark.slow
@pytest.mark.parametrize(("arms", "seeds"), [(5, 5), (12, 3)])
@pytest.mark.parametrize("within", [0.0, 0.6])
def test_intervals_hold_the_truth(arms: int, seeds: int, within: float) -> None:
    """Whatever the arms' means do, and however seeds move all arms together."""
    rng, hits, n = np.random.default_rng(3), 0, 1000
    for _ in range(n):
        found = relate(study(*draw(rng, arms, seeds, within, -0.8)), ACCURACY)
        assert found is not None
        assert found.within is not None
        hits += found.within.low <= within <= found.within.high
    assert hits >= stats.binom.ppf(0.001, n, 0.95)
