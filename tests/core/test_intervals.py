"""Intervals hold the truth as often as they say, by simulation, and always their own estimate."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from foveate.core.intervals import of_mean, of_mean_share, wilson

STUDIES = 500
ERROR = 3 * np.sqrt(0.05 * 0.95 / STUDIES)  # three standard errors of a simulated coverage


def test_wilson_is_scipys() -> None:
    for n in (1, 7, 73, 5000):
        for hits in sorted({0, 1, n // 2, n - 1, n}):
            theirs = binomtest(hits, n).proportion_ci(method="wilson")
            assert wilson(hits, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
            assert of_mean_share(np.array([hits] * 2), np.array([n] * 2))[0] <= hits / n
    assert wilson(0, 0) is None


@pytest.mark.parametrize("n", [30, 73, 300])
def test_wilson_covers_on_average(n: int) -> None:
    """For a given truth the coverage jumps with it; over truths it is what it says."""
    rng = np.random.default_rng(n)
    truths = rng.uniform(0.5, 1, STUDIES)
    found = [wilson(int(hits), n) for hits in rng.binomial(n, truths)]
    held = np.mean([low <= truth <= high for (low, high), truth in zip(found, truths, strict=True)])
    assert held == pytest.approx(0.95, abs=ERROR + 0.005)


@pytest.mark.parametrize("total", [5, 10, 20, 200])
@pytest.mark.parametrize("classes", [2, 5, 20, 100])
@pytest.mark.parametrize("recall", [None, 0.5, 0.91, 0.97])
def test_balanced_accuracy(classes: int, total: int, recall: float | None) -> None:
    """None: guessing."""
    recall = 1 / classes if recall is None else recall
    rng = np.random.default_rng(classes * total)
    check_balanced(rng, np.full(classes, recall), np.full(classes, total))


@pytest.mark.parametrize(
    ("recalls", "totals"),
    [
        ([0.3] * 10 + [0.95] * 10, [5] * 10 + [100] * 10),
        ([0.95] * 10 + [0.3] * 10, [5] * 10 + [100] * 10),
        ([0.99, 0.8], [20, 100]),
        ([1.0, 0.0], [10, 10]),
        ([1.0, 0.3, 0.6], [15, 15, 15]),
    ],
)
def test_balanced_accuracy_of_uneven_classes(recalls: list[float], totals: list[int]) -> None:
    check_balanced(np.random.default_rng(0), np.array(recalls), np.array(totals), most=1.0)


def check_balanced(
    rng: np.random.Generator, recalls: np.ndarray, totals: np.ndarray, most: float = 0.995
) -> None:
    hits = rng.binomial(totals, recalls, (STUDIES, len(recalls)))
    held = 0
    for row in hits:
        low, high = of_mean_share(row, totals)
        assert low <= np.mean(row / totals) <= high
        held += low <= recalls.mean() <= high
    assert 0.93 - ERROR <= held / STUDIES <= most


def test_balanced_accuracy_that_once_excluded_itself() -> None:
    hits = np.random.default_rng(0).binomial(20, 0.91, 100)
    low, high = of_mean_share(hits, np.full(100, 20))
    assert low < hits.mean() / 20 < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.91 * 0.09 / 2000), rel=0.15)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60)), min_size=2, max_size=30))
def test_any_table_of_classes_holds_its_estimate(table: list[tuple[int, int]]) -> None:
    hits = np.array([min(h, n) for h, n in table])
    totals = np.array([n for _, n in table])
    low, high = of_mean_share(hits, totals)
    assert 0 <= low <= np.mean(hits / totals) <= high <= 1
    assert low < high


SCORES: dict[str, tuple[Callable[..., np.ndarray], float]] = {
    "energy": (lambda rng, n: rng.beta(2, 3, n), 0.4),
    "energy, good": (lambda rng, n: rng.beta(8, 1, n), 8 / 9),
    "overlap, often 0": (lambda rng, n: rng.beta(3, 3, n) * (rng.random(n) < 0.3), 0.15),
    "overlap, nearly always 0": (lambda rng, n: rng.beta(3, 3, n) * (rng.random(n) < 0.05), 0.025),
    "pointing": (lambda rng, n: (rng.random(n) < 0.7).astype(float), 0.7),
    "pointing, nearly always": (lambda rng, n: (rng.random(n) < 0.95).astype(float), 0.95),
}


@pytest.mark.parametrize("n", [3, 10, 30, 100])
@pytest.mark.parametrize("score", SCORES)
def test_scores_of_maps(score: str, n: int) -> None:
    """At least 93 %; few pictures may say less than they know, never more."""
    draw, truth = SCORES[score]
    check_mean(draw, truth, n, at_least=0.93)


def test_scores_without_bounds_have_the_t_interval() -> None:
    values = np.random.default_rng(0).normal(3, 2, 9)
    expected = t.interval(0.95, 8, loc=values.mean(), scale=values.std(ddof=1) / 3)
    assert of_mean(values, span=None) == pytest.approx(expected)


@pytest.mark.parametrize(("gained", "lost"), [(0.0, 0.0), (0.02, 0.02), (0.1, 0.05), (0.3, 0.2), (0.5, 0.01)])
def test_differences_of_answers_to_the_same_pictures(gained: float, lost: float) -> None:
    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.choice([1.0, -1.0, 0.0], p=[gained, lost, 1 - gained - lost], size=n)

    check_mean(draw, gained - lost, 100, at_least=0.94, span=(-1.0, 1.0))


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_groups(share: float, alike: float) -> None:
    """40 groups of 1 to 11 pictures whose answers are independent, related, or all the same."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 12, 40)
    groups = [f"g{k}" for k in np.repeat(np.arange(40), sizes)]
    held = wilsons = 0
    for _ in range(STUDIES):
        own = np.full(40, share)
        if alike:
            strength = max(1 / alike - 1, 1e-3)
            own = rng.beta(share * strength, (1 - share) * strength, 40)
        right = rng.random(len(groups)) < np.repeat(own, sizes)
        low, high = of_mean(right, groups=groups) or (1, 0)
        assert low <= right.mean() <= high
        held += low <= share <= high
        plain = wilson(int(right.sum()), len(right)) or (1, 0)
        wilsons += plain[0] <= share <= plain[1]
    assert 0.92 - ERROR <= held / STUDIES <= 0.99
    assert alike == 0 or wilsons / STUDIES < 0.85  # why groups are asked for


def test_pictures_without_a_group_stand_alone() -> None:
    right = np.random.default_rng(0).random(60) < 0.8
    assert of_mean(right, groups=[""] * 60) == of_mean(right)
    assert of_mean(right, groups=["a"] * 60) is None
    assert of_mean(right[:1]) is None
    assert of_mean(right[:0]) is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abc") | st.just("")), min_size=2, max_size=40))
def test_any_scores_hold_their_mean(rows: list[tuple[float, str]]) -> None:
    values = np.array([value for value, _ in rows])
    found = of_mean(values, groups=[group for _, group in rows])
    assert found is None or 0 <= found[0] <= values.mean() + 1e-12 <= found[1] + 2e-12 <= 1 + 3e-12


def check_mean(
    draw: Callable[..., np.ndarray], truth: float, n: int, at_least: float, **settings: tuple[float, float]
) -> None:
    rng = np.random.default_rng(n)
    held = 0
    for _ in range(STUDIES):
        values = draw(rng, n)
        low, high = of_mean(values, **settings) or (1, 0)
        assert low <= values.mean() <= high
        held += low <= truth <= high
    assert held / STUDIES >= at_least - ERROR
