"""Pictures drawn into parts: stratified by class, groups whole.

Everything is drawn from the sorted paths with a keyed generator, so the order of the pictures changes nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import product
from math import ceil, floor

import numpy as np

from foveate.core.rng import numpy_generator
from foveate.data.catalog import Catalog

SMALLEST_CLASS = 3
"""A class with fewer pictures cannot be in train, val and test; it goes to train as a whole."""
_EXACT = 1e-9
"""Within this a count is whole."""


def draw(
    catalog: Catalog, pool: Sequence[int], shares: dict[str, float], seed: int, purpose: str
) -> tuple[list[str], list[str]]:
    """Divide ``pool`` into train and ``shares``; classes too small stay in train. Returns (split a row, notes).

    One part after the other is taken from train, in the order of ``shares``: what is in the first does not depend on
    the share of the second.
    """
    shares = {part: share for part, share in shares.items() if share > 0}
    if not shares:
        return ["train"] * len(pool), []
    counts = Counter(int(catalog.labels[row]) for row in pool)
    small = {label for label, count in counts.items() if count < SMALLEST_CLASS}
    tied = {
        row
        for rows in groups_of(catalog, pool).values()
        if any(int(catalog.labels[row]) in small for row in rows)
        for row in rows
    }
    free = [row for row in pool if row not in tied]
    drawn, left = dict.fromkeys(free, "train"), 1.0
    totals = np.bincount(catalog.labels[free], minlength=len(catalog.classes))
    for part, share in shares.items():
        rest = [row for row in free if drawn[row] == "train"]
        left -= share
        parts = assign(
            catalog, rest, {"train": left, part: share}, seed, purpose, keep="train", totals=totals
        )
        drawn.update(zip(rest, parts, strict=True))
    notes = []
    if small:
        listed = ", ".join(f"{catalog.classes[label]} ({counts[label]})" for label in sorted(small))
        notes.append(
            f"Classes with fewer than {SMALLEST_CLASS} pictures to divide stay in train as a whole: {listed}."
        )
    return [drawn.get(row, "train") for row in pool], notes


def assign(
    catalog: Catalog,
    pool: Sequence[int],
    shares: dict[str, float],
    seed: int,
    purpose: str,
    keep: str | None = None,
    totals: np.ndarray | None = None,
) -> list[str]:
    """One part a row of ``pool``: groups stay whole, every class is divided in the proportions of ``shares``.

    Groups of several pictures go first, the largest first, each to the part whose lack it fills best (least
    sum over classes of squared distance to the ideal count, divided by the class's size). Single pictures
    then fill the counts that remain, by controlled rounding: a class is within one picture of its ideal in
    every part, and what was rounded away in one class is made good in the next. A part that large groups left empty
    gets one of each class that can spare it. ``keep`` names the part where every class must appear; the ``shares``
    are of ``totals``, pictures of each class, where ``pool`` is what another part has left of these.
    """
    rng = numpy_generator(seed, "split", purpose)
    labels = catalog.labels
    parts = list(shares)
    share = np.array(list(shares.values()))
    width = len(catalog.classes)
    groups = groups_of(catalog, sorted(pool, key=lambda row: catalog.samples[row].path))
    several = [rows for rows in groups.values() if len(rows) > 1]
    singles: dict[int, list[int]] = defaultdict(list)
    for rows in groups.values():
        if len(rows) == 1:
            singles[int(labels[rows[0]])].append(rows[0])
    if totals is None:
        totals = np.bincount(labels[np.array(pool, dtype=np.int64)], minlength=width)
    left_over = not several and totals.sum() > len(pool)
    ideal = share[:, None] * totals[None]  # (parts, classes)
    have = np.zeros_like(ideal)
    place: dict[int, str] = {}

    order = rng.permutation(len(several))
    for k in sorted(order, key=lambda k: -len(several[k])):
        count = np.bincount(labels[several[k]], minlength=width)
        lack = ideal - have
        cost = ((lack - count) ** 2 - lack**2) @ (1 / np.maximum(totals, 1))
        chosen = int(np.argmin(cost))
        have[chosen] += count
        place.update(dict.fromkeys(several[k], parts[chosen]))

    keep_at = parts.index(keep) if keep else None
    carry = np.zeros(len(parts))
    for label in rng.permutation(sorted(singles)):
        rows = singles[int(label)]
        lack = np.maximum(ideal[:, label] - have[:, label], 0)
        wanted = lack * (len(rows) / lack.sum()) if lack.sum() > 0 else share * (len(rows) / share.sum())
        if left_over and np.floor(lack + _EXACT).sum() <= len(rows) <= np.ceil(lack - _EXACT).sum():
            wanted = lack  # so that train too is within one picture of its ideal
        must = keep_at if keep_at is not None and have[keep_at, label] == 0 else None
        counts = _round(wanted, len(rows), carry, must)
        carry += wanted - counts
        have[:, label] += counts
        shuffled = rng.permutation(rows)
        for part, chunk in zip(parts, np.split(shuffled, np.cumsum(counts)[:-1]), strict=True):
            place.update(dict.fromkeys((int(row) for row in chunk), part))
    if several:
        for part, wanted in zip(parts, ideal.sum(axis=1), strict=True):
            if wanted >= 1 and part not in place.values():
                _move(labels, list(groups.values()), place, part, spared=True)
    if keep is not None:
        _move(labels, list(groups.values()), place, keep, spared=False)
    return [place[row] for row in pool]


def _round(wanted: np.ndarray, total: int, carry: np.ndarray, must: int | None) -> np.ndarray:
    """Whole numbers that sum to ``total``, each the floor or ceiling of ``wanted``, nearest to wanted +
    carry.

    ``must``: index of a part that gets one at least.
    """
    low, high = [floor(x + _EXACT) for x in wanted], [ceil(x - _EXACT) for x in wanted]
    if len(wanted) <= 4:
        options = [
            np.array(o) for o in product(*({a, b} for a, b in zip(low, high, strict=True))) if sum(o) == total
        ]
        best = min(options, key=lambda o: (float(((wanted + carry - o) ** 2).sum()), tuple(o)))
    else:  # many folds: largest remainder, the carried part included
        best = np.array(low)
        first = sorted(range(len(wanted)), key=lambda i: (low[i] - wanted[i] - carry[i], i))
        for i in [i for i in first if high[i] > low[i]][: total - sum(low)]:
            best[i] += 1
    if must is not None and total and best[must] == 0:
        best[must] += 1
        best[max((i for i in range(len(best)) if i != must), key=lambda i: best[i])] -= 1
    return best


def _move(
    labels: np.ndarray, groups: list[list[int]], place: dict[int, str], part: str, *, spared: bool
) -> None:
    """Move into ``part`` the smallest group of every class that it lacks; ``spared``: out of the part that has most
    groups of the class, and only where another stays there."""
    for label in sorted({int(labels[row]) for row in place}):
        having: dict[str, list[list[int]]] = defaultdict(list)
        for group in groups:
            if label in labels[group]:
                having[place[group[0]]].append(group)
        most: list[list[int]] = max(having.values(), key=len)
        if not spared:
            most = [group for group in groups if label in labels[group]]
        if part not in having and not (spared and len(most) == 1):
            smallest: list[int] = min(most, key=len)
            place.update(dict.fromkeys(smallest, part))


def groups_of(catalog: Catalog, rows: Iterable[int]) -> dict[str, list[int]]:
    """Rows by group; a picture without one is alone."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        sample = catalog.samples[row]
        groups[f"group:{sample.group}" if sample.group else f"path:{sample.path}"].append(row)
    return groups
