"""Statistics over seeds: means with intervals, paired differences, and what a design could have detected.

Every function takes plain arrays. An undefined number is None, never NaN, and ``note`` says why in a sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import gammaln
from scipy.stats import sem, ttest_rel
from scipy.stats import t as student_t
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from foveate.core.errors import DataError

Values = npt.ArrayLike

POWER = 0.8
ALPHA = 0.05
"""Of every test: a p-value up to it, after Holm, is called a difference."""
FEWEST = 3
"""Pairs below which no verdict is given: two differences hardly say how far a third would lie."""


HALVES = "training on half of the pictures no interval over folds holds: take 3 folds or more"
"""Of two folds, whose training parts are no larger than the test parts and do not overlap."""


@dataclass(frozen=True)
class Summary:
    """Values of one metric in one arm, over its seeds."""

    n: int
    mean: float
    std: float | None
    """Sample standard deviation (ddof 1); None with one value."""
    low: float | None
    """Interval of the mean; None with one value, or with two folds."""
    high: float | None


@dataclass(frozen=True)
class Detectable:
    """The smallest true difference that a design shows with power 0.8, in the metric's own unit.

    Two different questions. ``seeds``: would training again, on other seeds, show the difference on these test
    pictures? ``pictures``: would these trained networks show it on other pictures of the same kind? More seeds never
    answer the second, more pictures never the first; ``both`` answers them together.
    """

    seeds: float | None
    """From the standard deviation of the paired differences over seeds."""
    pictures: float | None = None
    """From the spread of the difference over test pictures. None: no predictions."""
    both: float | None = None
    """From both. None: no predictions."""
    note: str = ""
    """Why ``seeds`` is None, in a sentence; empty otherwise."""
    room: float | None = None
    """The largest gain that is possible, where all that is known exceeds it: no gain would show."""

    @property
    def smallest(self) -> float | None:
        """What to print: what can be seen through all known sources of chance together; None when none is known, or
        no gain is so large."""
        if self.room is not None:
            return None
        known = [value for value in (self.seeds, self.pictures, self.both) if value is not None]
        return max(known) if known else None


@dataclass(frozen=True)
class Comparison:
    """One arm against the baseline, paired by seed. Differences are arm minus baseline, in the metric's own unit."""

    n: int
    """Pairs."""
    detectable: Detectable
    baseline: float | None = None
    """Mean of the baseline over the pairs; None without pairs."""
    arm: float | None = None
    difference: float | None = None
    std: float | None = None
    """Of the differences (ddof 1); None with fewer than 2 pairs."""
    low: float | None = None
    """Interval of the mean difference, for this comparison alone (not widened by Holm); None with fewer than 2 pairs,
    or when the difference is the same in every pair."""
    high: float | None = None
    p: float | None = None
    """Two-sided, before Holm; None with fewer than 2 pairs."""
    p_holm: float | None = None
    """What is judged: after Holm over the arms of this metric, and with all planned looks counted; equal to ``p`` for a
    lone comparison with one look."""
    cohen_d: float | None = None
    """d_z: mean difference over the standard deviation of the differences; None where that is 0."""
    hedges_g: float | None = None
    """d_z corrected for few pairs; None with fewer than 3 pairs."""
    test: Literal["t", "corrected t", "sign-flip"] = "t"
    """The test that ``p`` comes from."""
    family: int = 1
    """Arms that Holm counted."""
    note: str = ""
    """What a reader must know, in a sentence: too few pairs, the same difference in every seed, missing seeds."""
    unit: str = "seed"
    """What a pair is."""
    alpha: float = ALPHA
    """The interval has the level 1 - alpha."""


@dataclass(frozen=True)
class Regions:
    """How likely the mean difference is a loss, as good as none, or a gain.

    With a flat prior it has Student's t distribution around the observed one; Benavoli et al., Time for a change, JMLR
    2017 (region of practical equivalence).
    """

    margin: float
    """Differences up to this one are as good as none."""
    worse: float
    alike: float
    better: float
    not_worse: bool
    """The interval lies above a loss of ``margin``; at 95 %: a test of non-inferiority, one-sided at 2.5 %."""


def regions(comparison: Comparison, margin: float, *, lower_is_better: bool = False) -> Regions | None:
    """The regions of one comparison; None where it has no interval.

    Args:
        margin: in the metric's own unit, more than 0.
    """
    low, high, middle = comparison.low, comparison.high, comparison.difference
    if low is None or high is None or middle is None:
        return None
    freedom = comparison.n - 1
    scale = (high - low) / 2 / float(student_t.isf(comparison.alpha / 2, freedom))
    below, above = (float(student_t.cdf((edge - middle) / scale, freedom)) for edge in (-margin, margin))
    worse, better = (1 - above, below) if lower_is_better else (below, 1 - above)
    return Regions(margin, worse, above - below, better, high < margin if lower_is_better else low > -margin)


def summarise(values: Values, *, level: float = 0.95, overlap: float = 0.0) -> Summary:
    """Mean, standard deviation and t interval of the mean.

    Args:
        values: (S,) one value a seed.
        overlap: as in ``compare``.

    Raises:
        DataError: no value, or one that is not finite.
    """
    x = _finite(values)
    if len(x) == 0:
        raise DataError("There is no value to summarise; give one for each finished seed.")
    low, high = _interval(x, level, overlap) if len(x) > 1 and overlap < 1 else (None, None)
    std = None if len(x) == 1 else 0.0 if _constant(x) else float(x.std(ddof=1))
    return Summary(len(x), float(x.mean()), std, low, high)


def compare(
    baseline: Values, arm: Values, *, alpha: float = 0.05, family: int = 1, overlap: float = 0.0, unit: str = "seed"
) -> Comparison:  # fmt: skip
    """The paired difference of an arm to the baseline, by the paired t test.

    When every pair differs by the same amount (possible with few test pictures: "one picture more in each seed") the t
    statistic is infinite and means nothing; ``p`` is then that of the exact sign-flip test, 2 / 2^S.

    Differences of folds are not independent, since their training sets overlap, and s^2 / S is too small a variance of
    their mean. With ``overlap`` it is (1 / S + overlap) s^2, the corrected resampled t test (Nadeau and Bengio 2003,
    Machine Learning 52:239-281; for repeated folds Bouckaert and Frank 2004). It is meant for test parts smaller than
    the training parts: with two folds (``overlap`` 1) there is no interval and no p. Where all folds differ by the
    same amount, nothing tests that.

    Args:
        baseline: (S,) values of the baseline.
        arm: (S,) values of the arm, of the same seeds in the same order.
        alpha: level of the test; the interval has level 1 - alpha.
        family: arms that Holm will count; the detectable difference is for alpha / family, Holm's first step.
        overlap: test pictures over training pictures of overlapping training sets: 1 / (K - 1) with K folds.
        unit: what a pair is, for words.

    Raises:
        DataError: lengths differ, or a value is not finite.
    """
    a, b = _finite(baseline), _finite(arm)
    if a.shape != b.shape:
        raise DataError(
            f"Pairs need as many values in the arm ({len(b)}) as in the baseline ({len(a)}); "
            "give those of the seeds that both have."
        )
    n = len(a)
    difference = b - a
    common: dict[str, Any] = {"family": family, "unit": unit, "alpha": alpha}
    if n:
        means = {"baseline": a.mean(), "arm": b.mean(), "difference": difference.mean()}
        common |= {name: float(value) for name, value in means.items()}
    if n < 2:
        note = f"{n} {'pair' if n == 1 else 'pairs'}: nothing can be said about chance"
        return Comparison(n, Detectable(None, note=note), note=note, **common)
    # Trap: 0.8 - 0.7 and 0.9 - 0.8 differ in the last bit; equal differences must count as equal.
    scale = float(np.abs(np.concatenate([a, b])).max())
    if _constant(difference, scale):
        middle = float(np.median(difference))
        equal = abs(middle) <= max(1e-9 * scale, 1e-150)
        p = 1.0 if equal else None if overlap else 2.0 ** (1 - n)
        note = f"{'the arms are equal' if equal else 'the difference is the same'} in each of {n} {unit}s"
        common["difference"] = 0.0 if equal else middle
        return Comparison(
            n, detectable(0.0, n), std=0.0, p=p, p_holm=p, test="sign-flip", note=note, **common
        )
    std = float(difference.std(ddof=1))
    if overlap >= 1:
        return Comparison(n, Detectable(None, note=HALVES), std=std, note=HALVES, **common)
    low, high = _interval(difference, 1 - alpha, overlap)
    p = float(ttest_rel(b, a).pvalue)
    if overlap:
        p = float(2 * student_t.sf(abs(difference.mean()) / _error(difference, overlap), n - 1))
    d = common["difference"] / std
    # Hedges (1981): the factor that makes d unbiased, Gamma(df/2) / (sqrt(df/2) Gamma((df-1)/2)), df = n - 1.
    hedges = float(np.exp(gammaln((n - 1) / 2) - gammaln((n - 2) / 2)) / np.sqrt((n - 1) / 2))
    return Comparison(
        n, detectable(std * float(np.sqrt(1 + n * overlap)), n, alpha=alpha, family=family), std=std, low=low,
        high=high, p=p, p_holm=p, cohen_d=d, hedges_g=d * hedges if n >= FEWEST else None,
        test="corrected t" if overlap else "t",
        note="" if n >= FEWEST else f"{n} pairs are too few to judge", **common,
    )  # fmt: skip


def detectable(
    std: float, n: int, *, alpha: float = 0.05, power: float = POWER, family: int = 1
) -> Detectable:
    """The smallest true mean difference that a paired t test of ``n`` pairs finds with this power.

    Args:
        std: standard deviation of the paired differences. Estimated from 5 pairs it is itself uncertain: the true one
            may be 0.6 to 2.9 times as large (95 %), and the detectable difference with it.
        n: pairs.
        family: arms that Holm counts; the first step of Holm asks for alpha / family.
    """
    if n < FEWEST:
        return Detectable(None, note=f"{n} pairs are too few to say what could be detected")
    if std == 0:
        return Detectable(None, note="the spread over seeds is zero, so what could be detected is unknown")
    return Detectable(std * detectable_effect(n, alpha / family, power))


def paired_t_power(effect: float, n: float, alpha: float) -> float:
    """Power of a two-sided paired t test of ``n`` pairs (2 or more) for Cohen's d_z = ``effect``, 0 or above.

    Trap: statsmodels' two-sided power is NaN for many effects below 6 pairs (scipy's noncentral t, lower tail), and its
    ``solve_power`` then returns a wrong effect without an error (10.0 for n = 2, alpha = 0.0125, where the power is
    0.22; statsmodels 0.15). The upper tail alone is right everywhere; the lower adds less than 0.001 at power 0.8.
    """
    return float(TTestPower().power(effect, n, alpha / 2, alternative="larger"))


@cache
def detectable_effect(n: float, alpha: float = 0.05, power: float = POWER) -> float:
    """Cohen's d_z that a two-sided paired t test of ``n`` pairs (2 or more) finds with this power."""
    # The first guess lies near the root, because far above it (many pairs, a large effect) the power is NaN too.
    high = float((student_t.isf(alpha / 2, n - 1) + 1) / np.sqrt(n))
    while paired_t_power(high, n, alpha) < power:
        high *= 1.5
    return float(brentq(lambda effect: paired_t_power(effect, n, alpha) - power, 0.0, high, xtol=1e-10))


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Adjusted p-values (Holm 1979) of a family of tests; an absent p-value (None) stays so and is not counted."""
    known = {name: p for name, p in p_values.items() if p is not None}
    if len(known) < 2:
        return dict(p_values)
    adjusted = multipletests(list(known.values()), method="holm")[1]
    return {**p_values, **dict(zip(known, map(float, adjusted), strict=True))}


def _finite(values: Values) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise DataError(
            f"Statistics need a list of finite numbers, got {values!r}; leave out what is missing."
        )
    return x


def _constant(x: np.ndarray, scale: float | None = None) -> bool:
    # 1e-150: below, squares underflow and the variance is lost.
    return float(np.ptp(x)) <= max(1e-9 * (float(np.abs(x).max()) if scale is None else scale), 1e-150)


def _interval(x: np.ndarray, level: float, overlap: float) -> tuple[float, float]:
    if _constant(x):
        return float(x.mean()), float(x.mean())
    low, high = student_t.interval(level, len(x) - 1, loc=x.mean(), scale=_error(x, overlap))
    return float(low), float(high)


def _error(x: np.ndarray, overlap: float) -> float:
    """Standard error of the mean, with overlapping training sets counted."""
    return float(sem(x) * np.sqrt(1 + len(x) * overlap))
