"""Looking right and being right: do cells that look at the object answer better, over all and within an arm?

Correlations, no causes: an arm that looks better may answer better for another reason.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from foveate.studies.results import Metric, StudyResults
from foveate.studies.statistics import FEWEST, Summary, summarise

LOOK = "test.look.energy_in_mask.mean"


@dataclass(frozen=True)
class Correlation:
    """Pearson's, with its 95 % interval."""

    r: float
    low: float
    high: float
    n: int
    """Cells or arms."""


@dataclass(frozen=True)
class Relation:
    """Between the energy in the mask and a metric of being right."""

    cells: float
    """Over all cells, without an interval: cells of one arm, and of one seed, are no independent values."""
    n: int
    arms: Correlation | None
    """Of the arms' means; None with fewer than 4 arms."""
    within: Correlation | None
    """Of what is left of each cell when the means of its arm and of its seed are taken away (a partial correlation)."""
    pictures: Summary | None
    """Within a cell, over its test pictures: the correlation of the energy with a right answer, a mean over the arms of
    each seed, with its t interval over the seeds; None where predictions do not hold both."""


def relate(results: StudyResults, metric: Metric) -> Relation | None:
    """The relation of the energy in the mask with ``metric``; None where fewer than 4 cells hold both."""
    look, right = results.values.get(LOOK, {}), results.values.get(metric.name, {})
    cells = [(arm, seed) for arm in results.arms for seed in look.get(arm, {}) if seed in right.get(arm, {})]
    x, y = (np.array([values[arm][seed] for arm, seed in cells]) for values in (look, right))
    if len(cells) < 4 or not np.ptp(x) or not np.ptp(y):
        return None
    arms, seeds = (np.array([names.index(n) for n in column]) for names, column in _columns(results, cells))
    marks = np.column_stack(
        [arms[:, None] == np.arange(arms.max() + 1), seeds[:, None] == np.arange(seeds.max() + 1)]
    )
    marks = marks.astype(np.float64)
    means = [np.array([values[arms == k].mean() for k in np.unique(arms)]) for values in (x, y)]
    left = [values - marks @ np.linalg.lstsq(marks, values)[0] for values in (x, y)]
    taken = int(np.linalg.matrix_rank(marks)) - 1
    return Relation(
        float(np.corrcoef(x, y)[0, 1]), len(cells), _correlation(*means), _correlation(*left, taken=taken),
        _pictures(results),
    )  # fmt: skip


def words(found: Relation, metric: Metric) -> str:
    """One sentence that claims no cause."""
    parts = [f"r = {found.cells:.2f} over the {found.n} cells".replace("-", "−")]
    if found.arms:
        parts.append(f"{_interval(found.arms)} between the means of the {found.arms.n} arms")
    if found.within:
        parts.append(f"{_interval(found.within)} within arms")
    if (one := found.pictures) and one.low is not None and one.high is not None:
        numbers = f"{one.mean:.2f} (interval {one.low:.2f} to {one.high:.2f})".replace("-", "−")
        parts.append(f"{numbers} over the test pictures within a cell")
    known = {
        "between arms": found.arms, "within arms": found.within, "over the pictures of a cell": found.pictures
    }  # fmt: skip
    told = [
        f"{'together' if low > 0 else 'against each other'} {where}"
        for where, one in known.items()
        if one and (low := one.low) is not None and one.high is not None and (low > 0 or one.high < 0)
    ]
    claim = (
        f"they go {' and '.join(told)}, which names no cause"
        if told
        else "no relation can be told from chance"
    )
    return f"Looking right (energy in mask) and being right ({metric.title}): {', '.join(parts)}: {claim}."


def _columns(results: StudyResults, cells: list[tuple[str, int]]) -> list[tuple[list[object], list[object]]]:
    return [(list(dict.fromkeys(column)), list(column)) for column in zip(*cells, strict=True)]


def _correlation(x: np.ndarray, y: np.ndarray, *, taken: int = 0) -> Correlation | None:
    """Pearson's r with Fisher's interval (1924: each of ``taken`` means that were taken away costs one value)."""
    free = len(x) - taken - 3
    if free < 1 or min(float(np.ptp(x)), float(np.ptp(y))) < 1e-12:
        return None
    r = float(np.clip(np.corrcoef(x, y)[0, 1], -1 + 1e-12, 1 - 1e-12))
    low, high = np.tanh(norm.interval(0.95, np.arctanh(r), 1 / np.sqrt(free)))
    return Correlation(r, float(low), float(high), len(x))


def _pictures(results: StudyResults) -> Summary | None:
    """Cells in which all answers are right, or all maps alike, say nothing."""
    by_seed: dict[int, list[float]] = {}
    for cells in results.pictures.values():
        for seed, one in cells.items():
            known = np.isfinite(one.energy) if one.energy is not None else np.zeros(0, dtype=bool)
            right, energy = (
                one.correct[: len(known)][known],
                (one.energy if one.energy is not None else known)[known],
            )
            if known.any() and np.ptp(right.astype(int)) and np.ptp(energy):
                by_seed.setdefault(seed, []).append(float(np.corrcoef(right, energy)[0, 1]))
    return summarise([float(np.mean(rs)) for rs in by_seed.values()]) if len(by_seed) >= FEWEST else None


def _interval(one: Correlation) -> str:
    return f"{one.r:.2f} (interval {one.low:.2f} to {one.high:.2f})".replace("-", "−")
