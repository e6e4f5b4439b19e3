"""A comparison in words: one sentence that claims no more than the data carry."""

from typing import Literal

from foveate.studies.picture_comparison import PictureComparison
from foveate.studies.results import Metric
from foveate.studies.statistics import ALPHA, FEWEST, Comparison, Regions

Outcome = Literal["better", "worse", "different", "none", "unknown"]
"""different: there is a difference in a metric without a good direction; none: no detectable difference;
unknown: too few seeds to tell, which includes up to 5 seeds that all differ by the very same amount."""

SEEN: tuple[Outcome, ...] = ("better", "worse", "different")
"""Outcomes that are a difference."""
NO_GAIN = "this design would not even see the largest gain possible"
DURATIONS = ("epoch", "seconds", "minutes", "hours")
"""Words in a metric's name that make "lower" read "faster"."""


def outcome(comparison: Comparison, metric: Metric) -> Outcome:
    """What the comparison shows, by its p-value after Holm; fewer than 3 pairs show nothing."""
    if comparison.n < FEWEST or comparison.p_holm is None or comparison.difference is None:
        return "unknown"
    result = _judged(comparison.difference, comparison.p_holm, metric)
    # No spread: the test by signs could not have answered otherwise.
    return "unknown" if result == "none" and comparison.std == 0 and comparison.difference != 0 else result


def verdict(comparison: Comparison, metric: Metric) -> str:
    """One sentence without a full stop, for a table's cell.

    "no detectable difference (this design would see 3.1 points)",
    "better: higher by 4.2 points (interval 1.0 to 7.4, p = 0.02 after Holm)",
    "faster by 24 % (5.0 epochs, interval 1.2 to 8.8, p = 0.02 after Holm)", "too few seeds to tell (2 pairs)".
    """
    result = outcome(comparison, metric)
    few = f"too few {comparison.unit}s to tell"
    if comparison.n < FEWEST or comparison.difference is None:
        return f"{few} ({comparison.n} {'pair' if comparison.n == 1 else 'pairs'})"
    holm = " after Holm" if comparison.family > 1 else ""
    note = f"; {comparison.note}" if comparison.note else ""
    if comparison.p_holm is None:
        return f"{few} ({'no spread to test' if comparison.std == 0 else 'no test holds'}){note}"
    if result == "unknown":
        by_sign = f"{p_words(comparison.p_holm)}{holm}"
        return f"{few} (no spread to test; by sign alone {by_sign}){note}"
    if result == "none":
        see = _would_see(comparison, metric)
        return f"no detectable difference{f' ({see})' if see else ''}{note}"
    evidence = []
    if comparison.baseline is not None:
        claim, amount = _claim(comparison.difference, comparison.baseline, metric)
        evidence += [amount] if amount else []
    if comparison.low is not None and comparison.high is not None:
        level = f"{100 * (1 - comparison.alpha):.4g} % " if comparison.alpha != ALPHA else ""
        evidence.append(f"{level}interval {interval_words(comparison.low, comparison.high, metric)}")
    evidence.append(p_words(comparison.p_holm) + holm)
    prefix = "" if result == "different" or _is_duration(metric) else f"{result}: "
    return f"{prefix}{claim} ({', '.join(evidence)}){note}"


def margin_words(found: Regions, metric: Metric) -> str:
    """ "not worse by more than 1.0 points (worse 0.02, alike 0.91, better 0.07)": chances of the three regions."""
    chances = f"worse {found.worse:.2f}, alike {found.alike:.2f}, better {found.better:.2f}"
    margin = amount_words(found.margin, metric)
    if found.not_worse:
        return f"not worse by more than {margin} ({chances})"
    return f"a loss of more than {margin} is not ruled out ({chances})"


def picture_verdict(comparison: PictureComparison, metric: Metric, unit: str = "seed") -> str:
    """One sentence on training again AND other pictures of the same kind, for the accuracy ``metric``."""
    n = comparison.pictures
    worth = f"one is {amount_words(comparison.resolution, metric)}"
    base = f"{n} test pictures, {worth}"
    if not comparison.shared:
        base = f"{1 / comparison.resolution:.0f} test pictures a {unit}, {worth}; {n} different ones"
    if comparison.seeds < FEWEST or comparison.p_holm is None:
        return f"too few seeds to tell ({base})"
    if comparison.low is None or comparison.high is None:
        return f"no picture was answered differently ({base})"
    result = _judged(comparison.difference, comparison.p_holm, metric)
    interval = f"interval {interval_words(comparison.low, comparison.high, metric)}"
    if result == "none":
        smallest = comparison.detectable.smallest
        see = "" if smallest is None else f", this design would see {amount_words(smallest, metric)}"
        see = f", {NO_GAIN}" if comparison.detectable.room is not None else see
        if comparison.low > 0 or comparison.high < 0:  # Holm's correction moves p alone
            interval += f", not corrected for several arms; with the correction {p_words(comparison.p_holm)}"
        return f"no difference that other pictures must show ({interval}{see}; {base})"
    direction = "higher" if comparison.difference > 0 else "lower"
    p = p_words(comparison.p_holm)
    return (
        f"on other pictures too: {direction} by {amount_words(comparison.difference, metric)} "
        f"({interval}, {p}; {base})"
    )


def amount_words(value: float, metric: Metric) -> str:
    """A difference without its sign, with its unit: "4.2 points", "5.0 epochs", "0.0123"."""
    number = number_words(abs(value), metric)
    if metric.percent:
        return f"{number} points"
    return f"{number} epochs" if "epoch" in metric.name else number


def interval_words(low: float, high: float, metric: Metric) -> str:
    """ "1.0 to 7.4", in the unit of ``amount_words``."""
    return f"{number_words(low, metric)} to {number_words(high, metric)}"


def signed_words(value: float, metric: Metric) -> str:
    """A difference with its sign and unit: "+4.2 points"."""
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return f"{sign}{amount_words(value, metric)}"


def number_words(value: float, metric: Metric) -> str:
    """A value or difference in the metric's unit: one decimal for points and from 1 on, else three digits."""
    if metric.percent:
        value *= 100
        text = f"{value:.1f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"
    else:
        text = f"{value:.1f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"
    return text.replace("-", "−")


def p_words(p: float) -> str:
    """ "p = 0.02"; never rounded to the other side of ``ALPHA``."""
    if p < 0.001:
        return "p < 0.001"
    for digits in (2, 3, 4, 5):
        text = f"{p:.{digits}g}"
        if (float(text) <= ALPHA) == (p <= ALPHA):
            break
    return f"p = {text}"


def _judged(difference: float, p: float, metric: Metric) -> Outcome:
    if p > ALPHA or difference == 0:
        return "none"
    if metric.better == "neither":
        return "different"
    return "better" if (difference > 0) == (metric.better == "higher") else "worse"


def _is_duration(metric: Metric) -> bool:
    return metric.better == "lower" and any(word in metric.name for word in DURATIONS)


def _claim(difference: float, baseline: float, metric: Metric) -> tuple[str, str]:
    """("faster by 24 %", "5.0 epochs") for durations, ("lower by 0.12 (18 %)", "") for others."""
    amount = amount_words(difference, metric)
    relative = "" if metric.percent or baseline <= 0 else f"{abs(difference) / baseline * 100:.0f} %"
    if _is_duration(metric):
        word = "faster" if difference < 0 else "slower"
        return (f"{word} by {relative}", amount) if relative else (f"{word} by {amount}", "")
    word = "higher" if difference > 0 else "lower"
    return f"{word} by {amount}" + (f" or {relative}" if relative else ""), ""


def _would_see(comparison: Comparison, metric: Metric) -> str:
    smallest = comparison.detectable.smallest
    if comparison.detectable.room is not None:
        return NO_GAIN
    if smallest is None:
        return "" if comparison.note else comparison.detectable.note
    see = f"this design would see {amount_words(smallest, metric)}"
    if _is_duration(metric) and comparison.baseline is not None and comparison.baseline > 0:
        see += f" or {smallest / comparison.baseline * 100:.0f} %"
    return see
