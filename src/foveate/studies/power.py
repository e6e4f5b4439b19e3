"""Planning: which difference in accuracy can a design show, or what does it take to show a given one.

Nothing here looks at results. Everything follows from the number of test pictures, the expected accuracy, and how
often two networks are right and wrong on the same pictures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom
from statsmodels.stats.proportion import power_proportions_2indep

from foveate.core.errors import ConfigError
from foveate.core.intervals import wilson
from foveate.studies.statistics import FEWEST, POWER, paired_t_power

CORRELATION = 0.7
"""Correlation of "right" between two networks on the same pictures, when nothing is known. Measured between small
networks trained with two settings and other seeds on eight sets (digits, cells, leaves, skin, birds; 50 to 800 training
pictures): 0.72 to 0.83. The lower end asks for more pictures."""
SMALL = 1e-12
LARGEST = 10_000_000
"""Pictures or seeds beyond which a search gives up."""
Power = Callable[[int, float], float]
"""(pictures or seeds, difference) -> chance to show it."""


@dataclass(frozen=True)
class Design:
    """One way to compare two arms, and what it can show. Shares, not per cent."""

    name: str
    detectable: float | None
    """Smallest gain in accuracy shown with the plan's power; None: not even a perfect arm would be told apart."""
    pictures: int | None = None
    """Test pictures needed to show the given difference; None: not asked, or no number is enough."""
    seeds: int | None = None
    """Seeds needed to show it with the given pictures; None: not asked, or not a matter of seeds."""


@dataclass(frozen=True)
class Plan:
    """What the designs can show, and the assumptions behind it."""

    pictures: int
    seeds: int
    accuracy: float
    correlation: float
    arms: int
    alpha: float
    power: float
    difference: float | None
    spread: float
    """Standard deviation over seeds of the paired difference that the seeds' design was computed with."""
    spread_given: bool
    """False: it is what the test pictures alone bring about."""
    resolution: float
    """What one test picture is worth."""
    standard_error: float
    """Binomial standard error of one accuracy."""
    low: float
    """95 % Wilson interval of one accuracy."""
    high: float
    designs: tuple[Design, ...]
    """One run each on different pictures; one run each on the same pictures; several seeds on the same pictures."""
    margin: float | None = None
    """A loss that is as good as none."""
    margin_seeds: int | None = None
    """Seeds that show that an arm as good as the baseline is not worse by more than ``margin``; None: not asked, or no
    number is enough."""
    margin_power: float | None = None
    """Chance that the planned seeds show it."""


def plan(
    pictures: int, seeds: int, accuracy: float, *, spread: float | None = None, correlation: float = CORRELATION,
    arms: int = 1, difference: float | None = None, margin: float | None = None, alpha: float = 0.05,
    power: float = POWER,
) -> Plan:  # fmt: skip
    """Answer both questions of planning.

    Without ``spread`` it is what the pictures alone bring about: if two arms disagree on a share D of the N pictures
    and differ by d, their paired difference varies by sqrt((D - d^2) / N) when their answers vary independently from
    picture to picture. On the sets above the true spread was 0.6 to 2 times this value (training moves many answers
    together, or always the same few), so take the spread of a pilot when there is one.

    Args:
        pictures: test pictures of one seed.
        seeds: pairs of runs.
        accuracy: expected of the baseline, between 0 and 1.
        spread: standard deviation over seeds of (arm - baseline), as a share.
        correlation: of "right" between the two arms on the same pictures.
        arms: compared with the baseline; Holm's first step asks for alpha / arms.
        difference: a gain in accuracy to be shown, as a share.
        margin: a loss that is as good as none, as a share: how many seeds does it take to show, where there is no
            difference, that the arm is not worse by more (one-sided at alpha / 2, for each arm alone, as in a study's
            verdict)? Julious 2004, Statistics in Medicine 23:1921-1986, section 6, with Student's t.
        alpha: level of the test.
        power: chance to show a difference that is there.

    Raises:
        ConfigError: a number is out of range, or accuracy + difference exceeds 1.
    """
    _check(
        difference, margin=margin, accuracy=accuracy, pictures=pictures, seeds=seeds, spread=spread,
        correlation=correlation, arms=arms, alpha=alpha, power=power,
    )  # fmt: skip
    level, room, judged = alpha / arms, 1 - accuracy, seeds >= FEWEST

    def different(n: int, d: float) -> float:
        return independent_power(n, d, accuracy=accuracy, alpha=level)

    def same(n: int, d: float) -> float:
        return paired_power(n, d, accuracy=accuracy, correlation=correlation, alpha=level)

    def width(n: int, d: float) -> float:
        return picture_spread(n, d, accuracy=accuracy, correlation=correlation) if spread is None else spread

    def paired(n: int, d: float, s: int = seeds) -> float:
        return seeds_power(s, d, spread=width(n, d), alpha=level)

    def design(name: str, shows: Power, *, by_pictures: bool, judged: bool = True) -> Design:
        detectable = _smallest(lambda d: shows(pictures, d), room, power) if judged else None
        return Design(name, detectable, _fewest(shows, difference, 2, power) if by_pictures else None)

    several = design(
        f"{seeds} trainings each, on the same test pictures",
        paired,
        by_pictures=judged and spread is None,
        judged=judged,
    )
    designs = (
        design("one training each, on other test pictures", different, by_pictures=True),
        design("one training each, on the same test pictures", same, by_pictures=True),
        replace(several, seeds=_fewest(lambda s, d: paired(pictures, d, s), difference, FEWEST, power)),
    )
    as_good = width(pictures, 0.0)

    def not_worse(s: int, loss: float) -> float:
        return seeds_power(s, loss, spread=as_good, alpha=alpha)

    interval = wilson(round(accuracy * pictures), pictures)
    assert interval is not None
    return Plan(
        pictures, seeds, accuracy, correlation, arms, alpha, power, difference,
        spread=width(pictures, difference or designs[2].detectable or 0.0), spread_given=spread is not None,
        resolution=1 / pictures, standard_error=float(np.sqrt(accuracy * room / pictures)),
        low=interval[0], high=interval[1], designs=designs, margin=margin,
        margin_seeds=_fewest(not_worse, margin, FEWEST, power),
        margin_power=not_worse(seeds, margin) if margin is not None and judged else None,
    )  # fmt: skip


def margin_reading(made: Plan) -> str:
    """What the plan says about the margin, in a sentence; "" when none was asked for."""
    if made.margin is None:
        return ""
    takes = f"takes {made.margin_seeds} seeds" if made.margin_seeds else "no number of seeds is enough"
    chance = (
        ""
        if made.margin_power is None
        else f"; {made.seeds} seeds show it in {100 * made.margin_power:.0f} %"
    )
    margin = _points(made.margin)
    return f"To show that an arm as good as the baseline is not worse by more than {margin} {takes}{chance}."


def reading(made: Plan) -> str:
    """The plan in one sentence."""
    alone, paired = made.designs[1], made.designs[2]
    if made.difference is not None:
        pictures = f"{alone.pictures} test pictures for networks as they are"
        seeds = f"{paired.seeds} seeds on {made.pictures} for training again"
        pictures = pictures if alone.pictures else "no number of pictures"
        seeds = seeds if paired.seeds else "no number of seeds"
        return f"To show a gain of {_points(made.difference)} takes {pictures}, or {seeds}."
    if made.seeds < FEWEST:
        return f"{made.seeds} seeds are too few to judge training; take {FEWEST} or more."
    if paired.detectable is None:
        return f"On {made.pictures} pictures with {made.seeds} seeds not even an arm without any mistake would show."
    sure = "no gain" if alone.detectable is None else f"only a gain of {_points(alone.detectable)} or more"
    return (
        f"{made.seeds} seeds on {made.pictures} test pictures show a gain of {_points(paired.detectable)} or more. "
        f"On other pictures of the same kind {sure} is sure to show again, however many the seeds (one picture is "
        f"{_points(made.resolution)})."
    )


def disagreement(accuracy: float, difference: float, correlation: float) -> float:
    """Share of pictures that only one of two networks answers right.

    From the moments of two correlated binary answers: p (1 - q) + q (1 - p) - 2 r sqrt(p (1 - p) q (1 - q)) with
    q = p + difference; at least |difference|, which is the case where one network is right wherever the other is.
    """
    p, q = accuracy, accuracy + difference
    shared = correlation * np.sqrt(max(p * (1 - p) * q * (1 - q), 0.0))
    return float(max(p * (1 - q) + q * (1 - p) - 2 * shared, abs(difference)))


def picture_spread(pictures: int, difference: float, *, accuracy: float, correlation: float) -> float:
    """Standard deviation of the difference of two accuracies on the same pictures, from these pictures alone."""
    return float(
        np.sqrt(max(disagreement(accuracy, difference, correlation) - difference**2, 0.0) / pictures)
    )


def independent_power(pictures: int, difference: float, *, accuracy: float, alpha: float) -> float:
    """Power of the test of two proportions, each on its own ``pictures`` (statsmodels)."""
    found = power_proportions_2indep(difference, accuracy, pictures, alpha=alpha, return_results=False)
    return float(found)


def paired_power(
    pictures: int, difference: float, *, accuracy: float, correlation: float, alpha: float
) -> float:
    """Power of McNemar's exact test on the same pictures, exact: the sum over how many answers may differ.

    The number of differing answers is binomial (pictures, disagreement); among them the gained ones are binomial with
    share (disagreement + difference) / (2 disagreement) (Duffy 1984, Biometrics 40:1005-1015).
    """
    share = disagreement(accuracy, difference, correlation)
    if share == 0:
        return 0.0
    first, last = binom.ppf([1e-9, 1 - 1e-9], pictures, share)
    n = np.arange(max(int(first), 1), int(last) + 1)
    # Largest count of the rarer kind that is still significant; -1: none is.
    critical = binom.ppf(alpha / 2, n, 0.5)
    critical = np.where(binom.cdf(critical, n, 0.5) > alpha / 2, critical - 1, critical)
    gained = min((share + difference) / (2 * share), 1.0)
    significant = binom.cdf(critical, n, gained) + binom.sf(n - critical - 1, n, gained)
    return float((binom.pmf(n, pictures, share) * significant).sum())


def seeds_power(seeds: int, difference: float, *, spread: float, alpha: float) -> float:
    """Power of the paired t test over seeds; a spread of zero shows every difference."""
    return paired_t_power(difference / spread, seeds, alpha) if spread > 0 else 1.0


def _smallest(power_of: Callable[[float], float], room: float, power: float) -> float | None:
    if power_of(room) < power:
        return None
    return float(brentq(lambda difference: power_of(difference) - power, 1e-9, room, xtol=1e-8))


def _fewest(shows: Power, difference: float | None, start: int, power: float) -> int | None:
    """The smallest number from ``start`` on that shows ``difference``; power is taken to grow with the number."""
    if difference is None:
        return None
    low, high = start - 1, start
    while shows(high, difference) < power:
        low, high = high, high * 2
        if high > LARGEST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle, difference) >= power else (middle, high)
    return high


def _points(share: float) -> str:
    return f"{share * 100:.1f} points"


def _check(difference: float | None, **values: float | None) -> None:
    rules = {
        "pictures": (2, math.inf, "2 or more"),
        "seeds": (1, math.inf, "1 or more"),
        "accuracy": (SMALL, 1 - SMALL, "between 0 and 1, for example 0.9 for 90 %"),
        "spread": (SMALL, 1 - SMALL, "a share, for example 0.02 for 2 points"),
        "correlation": (0, 1 - SMALL, "from 0 to below 1"),
        "arms": (1, math.inf, "1 or more"),
        "difference": (SMALL, math.inf, "a share, for example 0.03 for 3 points"),
        "margin": (SMALL, 1 - SMALL, "a share, for example 0.01 for 1 point"),
        "alpha": (SMALL, 1 - SMALL, "between 0 and 1"),
        "power": ((values["alpha"] or 0) + SMALL, 1 - SMALL, "between alpha and 1"),
    }
    values["difference"] = difference
    for name, (low, high, rule) in rules.items():
        value = values[name]
        if value is not None and not low <= value <= high:
            raise ConfigError(f"A plan's {name} must be {rule}; got {value}.")
    accuracy = values["accuracy"] or 0
    if difference is not None and accuracy + difference > 1:
        raise ConfigError(
            f"A gain of {_points(difference)} over an accuracy of {accuracy:g} exceeds 100 %; "
            "shares are meant: 0.03 is 3 points."
        )
