"""Looks at a study that grows: how many false alarms each planned look may spend, and what a verdict is then worth.

Reading a study after every few seeds and stopping at the first difference finds one far too often. Planned looks share
the false alarms by a spending function of the seeds that are done (Lan and DeMets, Biometrika 1983, 70:659-663).
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

Spending = Literal["obrien-fleming", "pocock"]
NAMES: dict[Spending, str] = {"obrien-fleming": "O'Brien-Fleming", "pocock": "Pocock"}
NODES = 61
"""Of the quadrature between two boundaries; more change the fifth digit of no boundary."""


@dataclass(frozen=True)
class Stage:
    """Where a study stands in its plan."""

    looks: tuple[int, ...]
    """Numbers of seeds at which the results count, growing; the last one is all that were planned."""
    done: int
    """Seeds of which every cell has finished or failed."""
    spending: Spending = "obrien-fleming"

    @property
    def look(self) -> int:
        """Which planned look this is, from 1; 0 when none is planned at so many seeds."""
        return self.looks.index(self.done) + 1 if self.done in self.looks else 0

    def level(self, alpha: float) -> float:
        """Of the test and the interval at this look; ``alpha`` itself where nothing is shared, and where no claim is
        made."""
        shared = self.look and len(self.looks) > 1
        return nominal(self.looks, self.look, alpha, self.spending) if shared else alpha

    def p(self, p: float) -> float:
        """What ``p`` is worth when all looks count: the smallest level at which this look would show a difference
        (sequential p-value; Liu and Anderson 2008, Statistics in Medicine 27:4055-4066)."""
        shared = self.look and len(self.looks) > 1
        return sequential(p, self.looks, self.look, self.spending) if shared else p

    @property
    def exploratory(self) -> str:
        """Why no verdict counts, in a sentence; "" at a planned look."""
        if self.look:
            return ""
        planned, last = listed(self.looks), self.looks[-1]
        if self.done > last:
            return (
                f"Exploratory: the study was planned for {planned} seeds, was looked at, and then grew to {self.done}. "
                "Going on until something shows finds differences that are not there."
            )
        return (
            f"Exploratory: {self.done} of {last} planned seeds are done"
            + (f", and a look was planned at {planned}" if len(self.looks) > 1 else "")
            + "; verdicts count when they are."
        )

    @property
    def plan(self) -> str:
        """What going on would do, in a sentence; "" when nothing is planned any more or the verdicts do not count."""
        if not self.look:
            return ""
        if len(self.looks) == 1:
            return f"One look was planned, at {self.done} seeds: more seeds after it make the verdicts exploratory."
        shared = (
            f"Look {self.look} of {len(self.looks)}, planned at {listed(self.looks)} seeds: p counts all of them "
            f"({NAMES[self.spending]} spending, Lan and DeMets 1983), and the interval is that of this look"
        )
        more = f"; the next is at {self.looks[self.look]} seeds" if self.look < len(self.looks) else ""
        return f"{shared}{more}."


def listed(numbers: tuple[int, ...]) -> str:
    """ "5, 10 and 20"."""
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last


def spent(share: float, alpha: float, spending: Spending) -> float:
    """False alarms that may be spent when ``share`` of the seeds is done, of ``alpha`` in all, two-sided."""
    if spending == "pocock":
        return float(alpha * np.log(1 + (np.e - 1) * share))
    return float(4 * ndtr(ndtri(alpha / 4) / np.sqrt(share)))


@cache
def nominal(looks: tuple[int, ...], look: int, alpha: float, spending: Spending) -> float:
    """Two-sided level of the test at a look (from 1), such that all looks together raise ``alpha`` false alarms.

    The sum of the seeds' differences is followed from look to look as a Brownian motion that stops at the boundaries
    (Armitage, McPherson and Rowe 1969, JRSS A 132:235-244); its density between them is integrated by Gauss's rule. The
    levels are then used with Student's t (Pocock 1977, Biometrika 64:191-199).
    """
    points, mass, before, used, level = np.zeros(1), np.ones(1), 0.0, 0.0, alpha
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    for number in looks[:look]:
        time = number / looks[-1]
        step, allowed = np.sqrt(time - before), spent(time, alpha, spending)
        edge = float(brentq(_beyond, 0.0, 40.0, (points, mass, step, allowed - used), xtol=1e-12, rtol=1e-12))
        level = 2 * float(ndtr(-edge / np.sqrt(time)))
        inside = edge * nodes
        density = np.exp(-(((inside[:, None] - points) / step) ** 2) / 2) / (step * np.sqrt(2 * np.pi))
        points, mass, before, used = inside, edge * weights * (density @ mass), time, allowed
    return level


def _beyond(edge: float, points: np.ndarray, mass: np.ndarray, step: float, allowed: float) -> float:
    """Chance to leave (-edge, edge) with the next step, over what is allowed."""
    return float(mass @ (ndtr((points - edge) / step) + ndtr((-edge - points) / step)) - allowed)


def sequential(p: float, looks: tuple[int, ...], look: int, spending: Spending) -> float:
    """The smallest level at which a look with the two-sided ``p`` would stop."""
    most = 0.999
    if p <= 0:
        return p
    if nominal(looks, look, most, spending) <= p:
        return 1.0

    def beyond(log_alpha: float) -> float:
        return nominal(looks, look, float(np.exp(log_alpha)), spending) - p

    return float(np.exp(brentq(beyond, np.log(p), np.log(most), xtol=1e-4)))
