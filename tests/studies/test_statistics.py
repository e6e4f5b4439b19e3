"""Against scipy and statsmodels called directly, R's and textbook figures, and by simulation."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from foveate.core.errors import DataError
from foveate.studies.statistics import (
    compare,
    detectable,
    detectable_effect,
    holm,
    paired_t_power,
    regions,
    summarise,
)

# Student (1908), hours of sleep gained with two drugs; R: t.test(extra ~ group, paired = TRUE).
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_student_s_sleep() -> None:
    found = compare(FIRST, SECOND)
    assert found.n == 10
    assert found.difference == pytest.approx(1.58)
    assert (found.low, found.high) == (pytest.approx(0.7001142, abs=1e-6), pytest.approx(2.4598858, abs=1e-6))
    assert found.p == pytest.approx(0.002832890, abs=1e-8)
    assert found.p_holm == found.p
    assert found.cohen_d == pytest.approx(1.284558, abs=1e-5)
    assert found.hedges_g == pytest.approx(1.284558 * 0.9139, rel=2e-3)
    assert (found.baseline, found.arm) == (pytest.approx(0.75), pytest.approx(2.33))


def test_summary() -> None:
    x = np.array([0.91, 0.87, 0.93, 0.90, 0.89])
    found = summarise(x)
    interval = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert (found.n, found.mean, found.std) == (5, pytest.approx(x.mean()), pytest.approx(np.std(x, ddof=1)))
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    one = summarise([0.5])
    assert (one.n, one.mean, one.std, one.low, one.high) == (1, 0.5, None, None, None)
    same = summarise([0.1 + 0.2, 0.3, 0.3])
    assert same.std == 0.0
    assert same.low == same.high == pytest.approx(0.3)


def test_no_spread_at_all() -> None:
    base = np.array([0.7, 0.71, 0.8, 0.77, 0.9])
    equal = compare(base, base)
    assert (equal.difference, equal.std, equal.p, equal.low) == (0.0, 0.0, 1.0, None)
    assert equal.note == "the arms are equal in each of 5 seeds"
    # One picture of 73 more in every seed: t would be infinite and p zero.
    shifted = compare(base, base + 1 / 73)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1).T
    assert shifted.p == pytest.approx((np.abs(signs.mean(axis=1)) >= 1 - 1e-12).mean()), "all 2^5 signs tried"
    assert (shifted.std, shifted.low, shifted.cohen_d) == (0.0, None, None)
    assert shifted.difference == pytest.approx(1 / 73)
    assert shifted.note == "the difference is the same in each of 5 seeds"
    assert shifted.detectable.smallest is None
    assert "spread over seeds is zero" in shifted.detectable.note


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_pairs(n: int) -> None:
    found = compare(FIRST[:n], SECOND[:n])
    assert found.n == n
    assert found.note
    assert found.detectable.smallest is None
    assert found.detectable.note
    assert (found.p is None) == (n < 2)
    assert (found.difference is None) == (n < 1)
    assert found.hedges_g is None


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ([0.1, 0.2], [0.1], "as many values"),
        ([0.1, math.nan], [0.1, 0.2], "finite"),
        ([[0.1]], [[0.2]], "list"),
    ],
)
def test_errors(a: Any, b: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        compare(a, b)


def test_nothing_to_summarise() -> None:
    with pytest.raises(DataError, match="no value"):
        summarise([])


def test_holm() -> None:
    """Holm (1979) by his own rule, and statsmodels; a test that was not done does not count."""
    given = {"a": 0.01, "b": 0.04, "c": None, "d": 0.03, "e": 0.005}
    expected = {"a": 0.03, "b": 0.06, "d": 0.06, "e": 0.02}
    assert holm(given) == {"c": None, **{name: pytest.approx(p) for name, p in expected.items()}}
    p = np.random.default_rng(1).random(9) ** 3
    found = holm({str(k): float(v) for k, v in enumerate(p)})
    assert list(found.values()) == pytest.approx(list(multipletests(p, method="holm")[1]))
    assert holm({"a": None}) == {"a": None}


def test_hedges_correction() -> None:
    found = compare([0.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.cohen_d is not None
    assert found.hedges_g == pytest.approx(found.cohen_d * 0.7978846)  # Gamma(2) / (sqrt(2) Gamma(1.5))


def test_detectable_effect_textbook() -> None:
    """R: pwr.t.test(d = 0.5, power = 0.8, type = "paired") gives n = 33.36713."""
    assert detectable_effect(33.36713) == pytest.approx(0.5, abs=1e-5)
    for n in (8, 20, 100):
        assert detectable_effect(n, 0.01) == pytest.approx(
            TTestPower().solve_power(nobs=n, alpha=0.01, power=0.8), rel=1e-3
        )


def test_detectable_effect_where_statsmodels_goes_wrong() -> None:
    rng = np.random.default_rng(2)
    for n, alpha in ((2, 0.05), (3, 0.0125), (4, 0.05 / 9), (5, 0.0125), (5, 0.001)):
        effect = detectable_effect(n, alpha)
        x = rng.normal(effect, 1, (20_000, n))
        assert (stats.ttest_1samp(x, 0, axis=1).pvalue <= alpha).mean() == pytest.approx(0.8, abs=0.012)
    for n in (2.3, 7.9, 41.5, 1e3, 1e6):
        for alpha in (0.05, 0.05 / 7):
            assert paired_t_power(detectable_effect(n, alpha), n, alpha) == pytest.approx(0.8, abs=1e-6)


def test_detectable_takes_the_family_into_account() -> None:
    assert detectable(0.02, 5).seeds == pytest.approx(0.02 * detectable_effect(5, 0.05))
    assert detectable(0.02, 5, family=4).seeds == pytest.approx(0.02 * detectable_effect(5, 0.0125))
    found = compare(FIRST, SECOND, family=3)
    assert found.detectable.seeds == pytest.approx(found.std * detectable_effect(10, 0.05 / 3))  # type: ignore[operator]
    assert found.family == 3


@pytest.mark.parametrize("lower_is_better", [False, True])
def test_regions_are_areas_of_the_posterior(lower_is_better: bool) -> None:
    a, b = np.array([0.80, 0.82, 0.79, 0.85, 0.81]), np.array([0.81, 0.81, 0.80, 0.84, 0.83])
    found = regions(compare(a, b), 0.01, lower_is_better=lower_is_better)
    assert found is not None
    difference = b - a
    scale = difference.std(ddof=1) / np.sqrt(5)
    drawn = difference.mean() + scale * stats.t.rvs(4, size=400_000, random_state=0)
    below, above = (drawn < -0.01).mean(), (drawn > 0.01).mean()
    worse, better = (above, below) if lower_is_better else (below, above)
    assert [found.worse, found.better] == pytest.approx([worse, better], abs=0.003)
    assert found.worse + found.alike + found.better == pytest.approx(1)
    assert regions(compare(a[:1], b[:1]), 0.01) is None
    assert regions(compare(a, a), 0.01) is None, "no spread, no interval"


@pytest.mark.parametrize(("overlap", "n"), [(0.0, 5), (0.0, 20), (0.25, 5)])
def test_an_arm_that_is_worse_by_the_margin_is_seldom_called_not_worse(overlap: float, n: int) -> None:
    """Non-inferiority at the one-sided level of 2.5 %, also of folds, whose differences are correlated."""
    rng, margin, called = np.random.default_rng(1), 0.01, 0
    correlation = overlap / (1 + overlap)
    for _ in range(2000):
        shared = rng.normal(0, 0.02 * np.sqrt(correlation))
        a = rng.normal(0.8, 0.03, n)
        b = a - margin + shared + rng.normal(0, 0.02 * np.sqrt(1 - correlation), n)
        found = regions(compare(a, b, overlap=overlap), margin)
        called += bool(found and found.not_worse)
    assert called / 2000 == pytest.approx(0.025, abs=0.012)
