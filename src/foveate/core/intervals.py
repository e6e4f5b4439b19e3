"""95 % intervals of shares and means over pictures; each holds its own estimate, also where every answer is right.

One formula serves all: Wilson's score interval (1927) with an effective number of pictures, which says how precise the
estimate is (Korn and Graubard 1998, for surveys). ``tests/core/test_intervals.py`` simulates the coverage.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri, stdtrit

LEVEL = 0.95

Interval = tuple[float, float]


def wilson(correct: float, n: float) -> Interval | None:
    """Wilson score interval of the share ``correct / n``; None for n = 0."""
    return _wilson(correct / n, n, -ndtri((1 - LEVEL) / 2)) if n else None


def of_answers(correct: np.ndarray, groups: Sequence[str] | np.ndarray) -> Interval | None:
    """Of the share of right answers (n,) bool; None without any, everything from 0 to 1 when all are of one group.

    ``groups`` (n,): a name each, "" = a group of its own; Wilson's interval where there are none.
    """
    if not len(correct) or not any(groups):
        return wilson(int(correct.sum()), len(correct))
    return of_mean(correct, groups=groups) or (0.0, 1.0)


def of_mean_share(correct: np.ndarray, total: np.ndarray) -> Interval:
    """Interval of the mean of C shares, as balanced accuracy is of the classes' recalls.

    The variance of the mean is the sum of the classes' (unbiased for equal classes), each share drawn by one
    pseudo-picture towards the mean share, so that a class without a mistake still has one.

    Args:
        correct: (C,) right answers of each class, may be fractions.
        total: (C,) above 0, of the same.
    """
    shares = correct / total
    mean = (shares.sum() + 1) / (len(shares) + 2)
    drawn = (correct + mean) / (total + 1)
    variance = (drawn * (1 - drawn) / (total * (1 - total / (total + 1) ** 2))).sum() / len(shares) ** 2
    centre = drawn.mean()
    return _wilson(float(shares.mean()), centre * (1 - centre) / variance, -ndtri((1 - LEVEL) / 2))


def of_mean(
    values: np.ndarray,
    *,
    span: Interval | None = (0.0, 1.0),
    groups: Sequence[str] | np.ndarray | None = None,
    level: float = LEVEL,
) -> Interval | None:
    """Interval of the mean of values that are drawn independently, or in groups; None for fewer than two groups.

    The effective number is n / phi, where phi is the variance of the mean over that of n independent yes-or-no answers
    (by groups: cluster-robust), together with one pseudo-group that knows no better; Student's t with groups - 1
    degrees of freedom.

    Args:
        values: (n,) finite.
        span: the smallest and largest possible value; None: no bounds, then the plain t interval.
        groups: (n,) a name each; values of one group may depend on each other. "" is a group of its own.
        level: of the interval; above 0.95 where several are read together.
    """
    low, high = span or (0.0, 1.0)
    x = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    n = len(x)
    member = np.arange(n)
    if groups is not None:
        names = [name or k for k, name in enumerate(groups)]
        index = {name: k for k, name in enumerate(dict.fromkeys(names))}
        member = np.array([index[name] for name in names], dtype=np.int64)
    count = int(member.max()) + 1 if n else 0
    if count < 2:
        return None
    mean = float(x.mean())
    variance = count / (count - 1) * float((np.bincount(member, weights=x - mean) ** 2).sum()) / n**2
    quantile = -float(stdtrit(count - 1, (1 - level) / 2))
    if span is None:
        half = quantile * variance**0.5
        return mean - half, mean + half
    mean = min(max(mean, 0.0), 1.0)  # a score in float32 may lie a rounding outside
    spread = mean * (1 - mean)
    # Where all values are at one end nothing tells how groups vary: then each counts as one answer.
    phi = variance * n / spread if spread > 0 else n / count
    bounds = _wilson(mean, n * count / (phi * (count - 1) + n / count), quantile)
    return low + (high - low) * bounds[0], low + (high - low) * bounds[1]


def _wilson(share: float, n: float, quantile: float) -> Interval:
    """Every share p whose score test (share - p) / sqrt(p (1 - p) / n) stays within ``quantile``."""
    grown = quantile**2 / n
    half = quantile * (share * (1 - share) / n + grown / (4 * n)) ** 0.5
    low, high = (share + grown / 2 - half) / (1 + grown), (share + grown / 2 + half) / (1 + grown)
    return float(max(min(low, share), 0.0)), float(min(max(high, share), 1.0))  # rounding
