"""The mixed model over sets: against the analysis of variance, and whose interval holds the truth."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from foveate.studies.analysis import analyse
from foveate.studies.results import Metric, StudyResults
from foveate.studies.set_model import set_model
from foveate.studies.study_reader import over_sets

ACCURACY = Metric("test.accuracy", "Test accuracy", percent=True)


def draw(rng: np.random.Generator, sets: int, between: float, pairs: int = 5) -> list[np.ndarray]:
    return [rng.normal(rng.normal(0, between), 1, pairs) for _ in range(sets)]


def test_balanced_sets_are_the_analysis_of_variance() -> None:
    """With as many pairs in each set REML is known: the mean of means, and mean squares."""
    d = np.stack(draw(np.random.default_rng(0), 6, 2.0))
    found = set_model(list(d))
    assert found is not None
    within, between = d.var(axis=1, ddof=1).mean(), 5 * d.mean(axis=1).var(ddof=1)
    assert (found.sets, found.pairs) == (6, 30)
    assert found.difference == pytest.approx(d.mean(), abs=1e-6)
    assert found.within == pytest.approx(np.sqrt(within), rel=1e-3)
    assert found.between == pytest.approx(np.sqrt((between - within) / 5), rel=1e-3)
    assert found.high - found.low == pytest.approx(2 * 1.959964 * np.sqrt(between / 30), rel=1e-3)


def test_sets_that_do_not_differ_have_no_spread_between_them() -> None:
    d = [np.array([-1.0, 1.0, 0.5, -0.5]) + shift for shift in (0.01, 0.0, -0.01, 0.0)]
    found = set_model(d)
    assert found is not None
    assert found.between == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(
    "differences",
    [
        [],
        [np.array([1.0, 2.0]), np.array([1.0, 3.0])],
        [np.array([1.0]), np.array([2.0]), np.array([3.0])],
        [np.array([0.1, 0.1]), np.array([0.1, 0.1]), np.array([0.1, 0.1])],
        [np.array([0.1, 0.1]), np.array([0.2, 0.2]), np.array([0.3, 0.3])],
    ],
)
def test_what_no_model_can_tell(differences: list[np.ndarray]) -> None:
    assert set_model(differences) is None


@pytest.mark.slow
@pytest.mark.parametrize(("sets", "fewest", "most"), [(3, 0.70, 0.92), (20, 0.91, 0.97)])
def test_which_interval_holds_the_truth(sets: int, fewest: float, most: float) -> None:
    """The t interval over set means always; the model's only with many sets."""
    rng, n = np.random.default_rng(100 + sets), 300
    model, means = 0, 0
    for _ in range(n):
        d = draw(rng, sets, 1.5)
        found = set_model(d)
        assert found is not None
        model += found.low <= 0 <= found.high
        means += stats.ttest_1samp([one.mean() for one in d], 0).pvalue > 0.05
    assert fewest <= model / n <= most
    assert means >= stats.binom.ppf(0.001, n, 0.95)


def test_a_pooled_table_says_which_to_believe() -> None:
    rng = np.random.default_rng(4)
    sets = {}
    for k in range(4):
        a = rng.normal(0.7, 0.02, 5)
        values = {
            ACCURACY.name: {"a": dict(enumerate(a)), "b": dict(enumerate(a + rng.normal(0.03, 0.02, 5)))}
        }
        made = StudyResults("s", ("a", "b"), "a", tuple(range(5)), (ACCURACY,), values)
        sets[f"set {k}"] = replace(made, primary=ACCURACY.name)
    pooled = over_sets(sets)
    d = [np.subtract(*one.paired(ACCURACY.name, "b")[1::-1]) for one in sets.values()]
    found = set_model(d)
    assert found is not None
    (note,) = (note for note in analyse(pooled).notes if "mixed model" in note)
    assert note.startswith("b, Test accuracy: a mixed model of 4 sets and 20 pairs says +")
    assert f"interval {100 * found.low:.1f} to {100 * found.high:.1f}" in note
    assert "With fewer than 10 sets believe the t interval over the sets' means" in note
