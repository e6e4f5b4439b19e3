"""Plans against simulation of the very tests they speak of, and textbook figures."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import normal_sample_size_one_tail

from foveate.core.errors import ConfigError
from foveate.studies.power import disagreement, independent_power, margin_reading, paired_power, plan, reading
from foveate.studies.statistics import compare, detectable_effect, regions


def tables(
    rng: np.random.Generator, n: int, p: float, d: float, correlation: float, studies: int
) -> np.ndarray:
    """(studies, 2) gained and lost pictures of two runs on the same n pictures."""
    share = disagreement(p, d, correlation)
    drawn = rng.multinomial(n, [(share + d) / 2, (share - d) / 2, 1 - share], size=studies)
    return drawn[:, :2]


def p_mcnemar(pairs: np.ndarray) -> np.ndarray:
    return np.minimum(1.0, 2 * stats.binom.cdf(pairs.min(axis=1), pairs.sum(axis=1), 0.5))


def test_the_simulated_test_is_that_of_statsmodels() -> None:
    pairs = tables(np.random.default_rng(0), 73, 0.85, 0.05, 0.6, 40)
    expected = [mcnemar([[30, lost], [gained, 5]], exact=True).pvalue for gained, lost in pairs]
    assert p_mcnemar(pairs) == pytest.approx(expected)


def test_disagreement() -> None:
    """Of correlated coins, drawn."""
    rng = np.random.default_rng(1)
    p, q, r = 0.8, 0.86, 0.5
    both = p * q + r * np.sqrt(p * (1 - p) * q * (1 - q))
    cells = rng.choice(4, 400_000, p=[both, p - both, q - both, 1 - p - q + both])
    a, b = np.isin(cells, [0, 1]), np.isin(cells, [0, 2])
    assert np.corrcoef(a, b)[0, 1] == pytest.approx(r, abs=0.01)
    assert disagreement(p, q - p, r) == pytest.approx((a != b).mean(), abs=0.003)
    assert disagreement(0.9, 0.1, 0.7) == pytest.approx(0.1), "a perfect arm wins all that the baseline loses"
    assert disagreement(0.8, 0.1, 0.999) == pytest.approx(0.1), "no less than the difference itself"


@pytest.mark.parametrize(
    ("n", "accuracy", "d", "correlation", "alpha"),
    [
        (73, 0.8, 0.1, 0.5, 0.05),
        (73, 0.9, 0.0, 0.5, 0.05),
        (300, 0.85, 0.04, 0.7, 0.0125),
        (30, 0.6, 0.2, 0.0, 0.05),
    ],
)
def test_paired_power_by_simulation(
    n: int, accuracy: float, d: float, correlation: float, alpha: float
) -> None:
    pairs = tables(np.random.default_rng(2), n, accuracy, d, correlation, 40_000)
    found = paired_power(n, d, accuracy=accuracy, correlation=correlation, alpha=alpha)
    assert found == pytest.approx((p_mcnemar(pairs) <= alpha).mean(), abs=0.01)


def test_paired_power_near_the_normal_one_for_many_pictures() -> None:
    """Connor (1987): sample size of McNemar's test by the normal distribution; the exact one needs a little more."""
    share, d = disagreement(0.8, 0.03, 0.6), 0.03
    n = normal_sample_size_one_tail(
        d, 0.8, 0.025, std_null=np.sqrt(share), std_alternative=np.sqrt(share - d**2)
    )
    found = paired_power(round(n), d, accuracy=0.8, correlation=0.6, alpha=0.05)
    assert 0.77 <= found <= 0.8


def test_independent_power_by_simulation() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.binomial(300, 0.7, 40_000) / 300, rng.binomial(300, 0.8, 40_000) / 300
    z = (b - a) / np.sqrt((a + b) / 2 * (1 - (a + b) / 2) * 2 / 300)
    found = independent_power(300, 0.1, accuracy=0.7, alpha=0.05)
    assert found == pytest.approx((np.abs(z) >= 1.959964).mean(), abs=0.015)


def test_plan_of_the_seeds_by_simulation() -> None:
    """Answers drawn as assumed, accuracies compared by a paired t test over seeds: found in 80 % of the studies."""
    made = plan(200, 5, 0.85, correlation=0.6)
    d = made.designs[2].detectable
    assert d is not None
    rng = np.random.default_rng(4)
    pairs = tables(rng, 200, 0.85, d, 0.6, 5 * 20_000).reshape(-1, 5, 2)
    difference = (pairs[..., 0] - pairs[..., 1]) / 200
    difference = difference[np.ptp(difference, axis=1) > 0]
    assert difference.std() == pytest.approx(made.spread, rel=0.02)
    assert (stats.ttest_1samp(difference, 0, axis=1).pvalue <= 0.05).mean() == pytest.approx(0.8, abs=0.02)
    given = plan(200, 5, 0.85, spread=0.01, arms=4)
    assert given.designs[2].detectable == pytest.approx(0.01 * detectable_effect(5, 0.0125), rel=1e-5)


@pytest.mark.parametrize(("spread", "margin"), [(0.01, 0.01), (0.03, 0.02)])
def test_seeds_of_a_margin_by_simulation(spread: float, margin: float) -> None:
    """Arms as good as the baseline: with so many seeds the verdict says so in 80 % of the studies, and in 2.5 % of arms
    that lose the whole margin."""
    made = plan(300, 5, 0.9, spread=spread, margin=margin)
    assert made.margin_seeds is not None
    rng = np.random.default_rng(5)
    shown = {}
    for loss, n in [(0.0, made.margin_seeds), (0.0, 5), (margin, made.margin_seeds)]:
        found = [compare(np.zeros(n), rng.normal(-loss, spread, n)) for _ in range(1500)]
        shown[loss, n] = np.mean([verdict.not_worse for c in found if (verdict := regions(c, margin))])
    least = shown[0.0, made.margin_seeds]
    assert 0.77 <= least <= 0.87, "of whole seeds there may be a part of one too many"
    assert shown[0.0, 5] == pytest.approx(made.margin_power, abs=0.04)
    assert shown[margin, made.margin_seeds] == pytest.approx(0.025, abs=0.0125)
    assert (
        f"by more than {margin * 100:.1f} points takes {made.margin_seeds} seeds; 5 seeds"
        in margin_reading(made)
    )
    assert plan(300, 5, 0.9).margin_seeds is None


@pytest.mark.parametrize("arms", [1, 4])
def test_both_questions_agree(arms: int) -> None:
    """What it takes to show a difference shows it, and a little less does not."""
    made = plan(400, 6, 0.8, difference=0.05, arms=arms)
    other, same, seeds = made.designs
    assert other.pictures is not None
    assert same.pictures is not None
    assert seeds.pictures is not None
    assert seeds.seeds is not None
    assert other.pictures > same.pictures > seeds.pictures
    for design, index in ((other, 0), (same, 1), (seeds, 2)):
        assert design.pictures is not None
        enough = plan(design.pictures, 6, 0.8, arms=arms).designs[index].detectable
        lacking = plan(design.pictures - 4, 6, 0.8, arms=arms).designs[index].detectable
        assert enough is not None
        assert enough <= 0.05 + 1e-6
        assert lacking is None or lacking > 0.05
    enough = plan(400, seeds.seeds, 0.8, arms=arms).designs[2].detectable
    assert enough is not None
    assert enough <= 0.05


def test_the_report_s_own_design() -> None:
    """73 test pictures, 5 seeds: one picture is 1.4 points, and one run of each shows nothing at all at 90 %."""
    made = plan(73, 5, 0.9)
    assert made.resolution == pytest.approx(1 / 73)
    assert (made.low, made.high) == pytest.approx(stats.binomtest(66, 73).proportion_ci(method="wilson"))
    assert [design.detectable is None for design in made.designs] == [True, True, False]
    assert reading(made).endswith("(one picture is 1.4 points).")
    assert "no gain is sure to show" in reading(made)
    assert "2 seeds are too few" in reading(plan(73, 2, 0.9))
    assert "not even an arm without any mistake" in reading(plan(10, 3, 0.999))
    assert reading(plan(300, 10, 0.85, difference=0.03)).startswith("To show a gain of 3.0 points takes ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pictures": 1}, "pictures must be 2 or more; got 1"),
        ({"seeds": 0}, "seeds must be 1 or more"),
        ({"accuracy": 90.0}, "accuracy must be between 0 and 1, for example 0.9 for 90 %; got 90.0"),
        ({"spread": 2.0}, "spread must be a share"),
        ({"correlation": 1.0}, "correlation must be from 0 to below 1"),
        ({"arms": 0}, "arms must be 1 or more"),
        ({"difference": 0.0}, "difference must be a share"),
        ({"difference": 3.0}, "exceeds 100 %"),
        ({"margin": 1.0}, "margin must be a share, for example 0.01"),
        ({"alpha": 0.0}, "alpha"),
        ({"power": 0.01}, "power"),
    ],
)
def test_errors(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plan(**{"pictures": 73, "seeds": 5, "accuracy": 0.9, **changes})
