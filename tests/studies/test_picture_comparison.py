"""Against plain loops, statsmodels, and a textbook; coverage by simulation."""

import numpy as np
import pytest
from scipy import stats

from foveate.core.errors import DataError
from foveate.studies.picture_comparison import compare_pictures, same_pictures
from foveate.studies.results import Pictures
from foveate.studies.statistics import detectable_effect

Cells = dict[int, Pictures]


def cells(correct: np.ndarray, chosen: list[np.ndarray] | None = None) -> Cells:
    """{seed: answers} from (S, N) bool, or from the ``chosen`` columns of each row."""
    names = np.array([f"p{column:05d}" for column in range(correct.shape[1])])
    columns = chosen or [np.arange(correct.shape[1])] * len(correct)
    return {
        seed: Pictures(tuple(names[c]), row[c])
        for seed, (row, c) in enumerate(zip(correct, columns, strict=True))
    }


def answers(
    rng: np.random.Generator,
    seeds: int,
    pictures: int,
    effect: float = 0.0,
    lasting: float = 0.0,
    tau: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """(S, N) twice: easy and hard pictures, an effect that differs by picture, a deviation of each training."""
    ease = rng.normal(1.5, 1.2, pictures)
    gain = effect + lasting * rng.normal(0, 1, pictures)
    noise = rng.normal(0, 0.7, (2, seeds, pictures)) + rng.normal(0, tau, (2, seeds, 1))
    return ease + noise[0] > 0, ease + gain + noise[1] > 0


def test_mcnemar_textbook() -> None:
    """R: binom.test(5, 17) gives p = 0.1435; 12 gained, 5 lost."""
    a = np.array([1] * 40 + [0] * 12 + [1] * 5 + [0] * 3, dtype=bool)
    b = np.array([1] * 40 + [1] * 12 + [0] * 5 + [0] * 3, dtype=bool)
    found = compare_pictures(cells(a[None]), cells(b[None]))
    assert found is not None
    one = found.by_seed[0]
    assert (one.n, one.gained, one.lost) == (60, 12, 5)
    assert one.p == pytest.approx(stats.binomtest(5, 17).pvalue)
    assert one.p == pytest.approx(0.1435, abs=5e-5)
    assert found.difference == pytest.approx(7 / 60)
    assert (found.low, found.high, found.p) == (None, None, None)
    assert found.resolution == pytest.approx(1 / 60)
    share = (45 + 52) / 120
    assert found.standard_error == pytest.approx(np.sqrt(share * (1 - share) / 60))


def plain_interval(d: np.ndarray, tested: np.ndarray) -> tuple[float, float, float]:
    """Hillis' interval by loops; d and tested (S, N)."""
    seeds, pictures = d.shape
    weight = {s: 1 / (seeds * tested[s].sum()) for s in range(seeds)}
    mean = sum(weight[s] * d[s, i] for s in range(seeds) for i in range(pictures) if tested[s, i])
    rest = np.array(
        [[weight[s] * (d[s, i] - mean) * tested[s, i] for i in range(pictures)] for s in range(seeds)]
    )
    v_seed = sum(row.sum() ** 2 for row in rest) * seeds / (seeds - 1)
    v_picture = sum(column.sum() ** 2 for column in rest.T)
    v = max(v_seed + max(v_picture - (rest**2).sum(), 0), v_picture)
    reach = stats.t.ppf(0.975, (seeds - 1) * (v / v_seed) ** 2) * np.sqrt(v)
    return mean - reach, mean + reach, v_picture


@pytest.mark.parametrize("shared", [True, False])
def test_interval_against_loops(shared: bool) -> None:
    rng = np.random.default_rng(3)
    a, b = answers(rng, 5, 90, effect=0.4, lasting=0.5, tau=0.1)
    chosen = [
        np.sort(rng.choice(90, 90 if shared else int(rng.integers(20, 40)), replace=False)) for _ in range(5)
    ]
    tested = np.array([np.isin(np.arange(90), c) for c in chosen])
    found = compare_pictures(cells(a, chosen), cells(b, chosen), family=2)
    assert found is not None
    d = b.astype(int) - a
    low, high, v_picture = plain_interval(d * tested, tested)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.difference == pytest.approx((low + high) / 2)
    assert found.shared == shared
    n = int(tested.any(axis=0).sum())
    assert found.pictures == n
    assert found.detectable.pictures == pytest.approx(np.sqrt(v_picture * n) * detectable_effect(n, 0.025))


def test_p_agrees_with_the_interval() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        a, b = answers(rng, 4, 60, effect=0.4)
        found = compare_pictures(cells(a), cells(b))
        assert found is not None
        assert found.p is not None
        assert found.low is not None
        assert found.high is not None
        assert (found.p <= 0.05) == (found.low > 0 or found.high < 0)


def test_a_picture_tested_in_five_seeds_is_one_picture() -> None:
    """Networks that do not depend on the seed: more seeds must not narrow the interval."""
    rng = np.random.default_rng(6)
    a, b = answers(rng, 1, 100, lasting=1.0)
    few = compare_pictures(cells(np.repeat(a, 2, axis=0)), cells(np.repeat(b, 2, axis=0)))
    many = compare_pictures(cells(np.repeat(a, 20, axis=0)), cells(np.repeat(b, 20, axis=0)))
    assert few is not None
    assert many is not None
    assert (few.low, few.high) == (pytest.approx(many.low), pytest.approx(many.high))
    z = stats.norm.ppf(0.975) * (b.astype(int) - a).std() / 10
    assert many.high == pytest.approx(many.difference + z, rel=1e-3)


def test_degenerate_answers() -> None:
    alike = np.random.default_rng(7).random((3, 20)) < 0.8
    found = compare_pictures(cells(alike), cells(alike))
    assert found is not None
    assert (found.difference, found.p, found.low) == (0.0, 1.0, None)
    wrong, right = np.zeros((3, 20), dtype=bool), np.ones((3, 20), dtype=bool)
    found = compare_pictures(cells(wrong), cells(right))
    assert found is not None
    assert (found.difference, found.p, found.low) == (1.0, None, None)
    assert found.by_seed[0].p < 1e-5
    single = compare_pictures(cells(wrong[:, :1]), cells(np.array([[True], [True], [False]])))
    assert single is not None
    assert single.pictures == 1
    assert compare_pictures(cells(wrong), {}) is None


def test_other_pictures_are_refused() -> None:
    a = cells(np.ones((2, 5), dtype=bool))
    b = cells(np.ones((2, 6), dtype=bool))
    assert not same_pictures(a, b)
    assert same_pictures(a, cells(np.zeros((1, 5), dtype=bool)))
    with pytest.raises(DataError, match="Seed 0: the arm was tested on 6 pictures and the baseline on 5"):
        compare_pictures(a, b)


@pytest.mark.parametrize(
    ("effect", "lasting", "tau", "pool"),
    [(0.0, 0.0, 0.0, None), (0.0, 0.0, 0.4, None), (0.4, 1.0, 0.1, None), (0.4, 1.0, 0.1, 365)],
)
def test_coverage(effect: float, lasting: float, tau: float, pool: int | None) -> None:
    """Training again and other pictures: the interval holds the true difference about as often as it says."""
    rng = np.random.default_rng(8)
    seeds, pictures, studies = 5, 73, 200
    a, b = answers(rng, 400, 5000, effect, lasting, tau)
    truth = b.mean() - a.mean() if effect or lasting else 0.0
    held = 0
    for _ in range(studies):
        a, b = answers(rng, seeds, pool or pictures, effect, lasting, tau)
        chosen = [np.sort(rng.choice(pool, pictures, replace=False)) for _ in range(seeds)] if pool else None
        found = compare_pictures(cells(a, chosen), cells(b, chosen))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert held / studies >= 0.91
