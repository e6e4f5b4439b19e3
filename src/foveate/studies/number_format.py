"""How many digits a number of a study deserves: as many as its spread says, and the same in every format."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from foveate.studies.analysis import Analysis
from foveate.studies.results import Metric
from foveate.studies.verdict import p_words

MOST = 6
"""Decimals that are never exceeded, unless the value itself is smaller than that."""


@dataclass(frozen=True)
class Digits:
    """Writes the values of one metric, in the unit people read (per cent where the metric says so)."""

    percent: bool
    means: int
    """Decimals of means and standard deviations."""
    differences: int
    """Decimals of differences, their intervals, and detectable differences."""

    def shown(self, value: float) -> float:
        """The value in the unit that people read."""
        return 100 * value if self.percent else value

    def mean(self, value: float | None) -> str | None:
        return None if value is None else fixed(self.shown(value), self.means)

    def difference(self, value: float | None, *, sign: bool = False) -> str | None:
        """With ``sign`` a positive difference gets its plus."""
        if value is None:
            return None
        text = fixed(self.shown(value), self.differences)
        return f"+{text}" if sign and not text.startswith("-") and float(text) else text

    def interval(self, low: float | None, high: float | None) -> str | None:
        if low is None or high is None:
            return None
        return f"{self.difference(low)} to {self.difference(high)}"

    def plus_minus(self, mean: float | None, std: float | None) -> str | None:
        """ "71.5 ± 3.6", the mean alone where there is no spread."""
        return self.mean(mean) if std is None else f"{self.mean(mean)} ± {self.mean(std)}"


def digits(analysis: Analysis, metric: Metric) -> Digits:
    """The digits of one row: two significant ones of the typical spread (median over arms).

    Differences may be known better than means, since arms are paired: they get the digits of their interval's
    half width, at most two more than the means.
    """
    factor = 100 if metric.percent else 1
    summaries = analysis.summaries.get(metric.name, {}).values()
    comparisons = analysis.comparisons.get(metric.name, {}).values()
    largest = max((abs(factor * s.mean) for s in summaries), default=0.0)
    fallback = 1 if metric.percent else _significant(largest, 3)
    means = decimals((factor * s.std for s in summaries if s.std is not None), largest, fallback)
    halves = (factor * (c.high - c.low) / 2 for c in comparisons if c.low is not None and c.high is not None)
    differences = decimals(halves, largest, means)
    return Digits(metric.percent, means, min(max(means, differences), means + 2))


def decimals(spreads: Iterable[float], largest: float, fallback: int = 3) -> int:
    """Decimals that give the median of the spreads two significant digits; ``fallback`` without any spread.

    Spreads that are nothing but rounding (1e-12 of ``largest``) count as none.
    """
    known = [s for s in spreads if s > 1e-12 * largest and math.isfinite(s)]
    if not known:
        return fallback
    return min(_significant(median(known), 2), max(MOST, _significant(largest, 3)))


def _significant(value: float, digits: int) -> int:
    """Decimals that show ``digits`` significant digits of ``value``; 0 for large values, 3 for zero."""
    if not value:
        return 3
    # Through the text, so that 0.0996 counts as 0.10.
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return max(0, digits - 1 - exponent)


def fixed(value: float, places: int) -> str:
    """Fixed decimals, without a negative zero."""
    text = f"{value:.{places}f}"
    return text.removeprefix("-") if not float(text) else text


def p_text(p: float | None) -> str | None:
    """As in the verdicts, without the letter: "0.02", "<0.001"."""
    return None if p is None else p_words(p).removeprefix("p").replace("=", "").replace(" ", "")
