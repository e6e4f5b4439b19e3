"""Identical and nearly alike pictures, within a split, across splits and under two classes.

Identical means the same upright RGB pixels, whatever the files' bytes. Nearly alike means a copy that was
scaled, re-encoded, brightened or shifted a little, or the neighbouring frame of a film. It is decided in
two steps:

1. Candidates: perceptual hashes (64-bit DCT hash) that differ in few bits. Pairs are not compared all with
   all. The hash is cut into 4 bands of 16 bits; when two hashes differ in at most ``bits``, some band
   differs in at most ``bits // 4`` (pigeonhole), so every band is looked up with so many bits flipped
   (multi-index hashing; Norouzi, Punjani, Fleet: Fast search in Hamming space with multi-index hashing,
   CVPR 2012).
2. Proof on grey thumbnails, so that two birds before one hedge are not called alike: see ``difference``.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np

from foveate.data.audit.facts import GREY_SIDE, Facts
from foveate.data.audit.report import CODES, Problem
from foveate.data.catalog import SPLITS, UNLABELLED, Catalog

_BANDS, _BAND_BITS = 4, 16
_SHIFT = 2  # thumbnail pixels, 1/16 of the side
_CELLS = 4  # a side
_COMMON = 16
"""Rows that share a label; more are worth looking up where they end."""
_CHUNK = 1 << 18
_PROOF_CHUNK = 2048
TRIES = 100
"""Proofs in vain after which a picture is compared only with pictures that have had fewer."""
_COARSE = 0.8  # least correlation of 8x8 thumbnails worth a proof; those of proven pairs are above 0.9


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far grey thumbnails differ in the cell where they differ most. a, b: (n, 32, 32) -> (n,).

    ``b`` is fitted to ``a`` in brightness and contrast (least squares) and may be shifted by up to 2 pixels
    each way; the residual's root mean square in each of 4x4 cells is taken relative to the picture's
    standard deviation, and the worst cell counts. 0 = alike; above about 0.4 something in the picture is
    another thing.
    """
    inner = GREY_SIDE - 2 * _SHIFT
    cell = inner // _CELLS
    a = _standardised(a[:, _SHIFT : _SHIFT + inner, _SHIFT : _SHIFT + inner])
    best = np.full(len(a), np.inf, dtype=np.float32)
    for top in range(2 * _SHIFT + 1):
        for left in range(2 * _SHIFT + 1):
            moved = _standardised(b[:, top : top + inner, left : left + inner])
            slope = (a * moved).mean((1, 2), keepdims=True)
            residual = np.square(moved - slope * a).reshape(-1, _CELLS, cell, _CELLS, cell).mean((2, 4))
            best = np.minimum(best, residual.max((1, 2)))
    return np.sqrt(best)


def _standardised(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float32)
    x = x - x.mean((1, 2), keepdims=True)
    return x / np.maximum(np.sqrt(np.square(x).mean((1, 2), keepdims=True)), 1e-3)


def candidates(
    hashes: np.ndarray,
    bits: int,
    labels: Callable[[], np.ndarray] | None = None,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every pair i < j whose hashes differ in at most ``bits`` bits, once each, in chunks of two (m,) int64
    arrays.

    hashes: (N,) uint64. The most alike come first within a band.

    Args:
        labels: gives (N,) int64 from 0 to N, asked again and again: pairs whose labels are equal by then are left
            out, and those of labels that many rows have cost nothing.
        tell: called with (steps done, steps).
    """
    n = len(hashes)
    flips = bits // _BANDS
    bands = [(hashes >> np.uint64(_BAND_BITS * k)).astype(np.int64) & 0xFFFF for k in range(_BANDS)]
    masks = [
        sum(1 << bit for bit in chosen)
        for count in range(flips + 1)
        for chosen in combinations(range(_BAND_BITS), count)
    ]
    for k, band in enumerate(bands):
        start = np.concatenate(([0], np.cumsum(np.bincount(band, minlength=1 << _BAND_BITS))))
        for step, mask in enumerate(masks):
            label = labels() if labels else np.arange(n)
            by_label = band * (n + 1) + label
            order = np.argsort(by_label, kind="stable")
            key = band ^ mask
            first, end = start[key], start[key + 1]
            # The rows with this band, for a common label without those that have it too: before and behind them.
            common = np.bincount(label, minlength=n + 1)[label] > _COMMON
            own = key[common] * (n + 1) + label[common]
            until, since = end.copy(), end.copy()
            until[common] = np.searchsorted(by_label, own, sorter=order)
            since[common] = np.searchsorted(by_label, own + 1, sorter=order)
            for part in ((first, until), (since, end)):
                for i, position in _ranges(*part):
                    j = order[position]
                    keep = (i < j) & (label[i] != label[j])
                    i, j = i[keep], j[keep]
                    keep = np.bitwise_count(hashes[i] ^ hashes[j]) <= bits
                    for earlier in bands[:k]:  # found there already
                        keep &= np.bitwise_count(earlier[i] ^ earlier[j]) > flips
                    if keep.any():
                        yield i[keep], j[keep]
            tell(k * len(masks) + step + 1, _BANDS * len(masks))


def _ranges(first: np.ndarray, end: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row i together with every position in [first[i], end[i]), in chunks of bounded size."""
    length = end - first
    total = np.cumsum(length)
    row = 0
    while row < len(length):
        base = total[row - 1] if row else 0
        stop = max(row + 1, int(np.searchsorted(total, base + _CHUNK, side="right")))
        rows = np.repeat(np.arange(row, stop), length[row:stop])
        offset = np.arange(len(rows)) - np.repeat(total[row:stop] - length[row:stop] - base, length[row:stop])
        yield rows, first[rows] + offset
        row = stop


class _Sets:
    """Union-find over 0..n-1."""

    def __init__(self, n: int) -> None:
        self.parent = np.arange(n)

    def join(self, i: int, j: int) -> None:
        self.parent[self.find(max(i, j))] = self.find(min(i, j))

    def find(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = int(self.parent[i])
        return i

    def flatten(self) -> np.ndarray:
        while True:
            up = self.parent[self.parent]
            if np.array_equal(up, self.parent):
                return up
            self.parent = up


def identical(facts: Sequence[Facts]) -> list[list[int]]:
    """Rows of identical pictures, sets of two and more, in order of the first row."""
    rows = defaultdict(list)
    for row, fact in enumerate(facts):
        if fact.failure is None:
            rows[fact.pixels].append(row)
    return [found for found in rows.values() if len(found) > 1]


def alike(
    facts: Sequence[Facts],
    *,
    bits: int,
    limit: float,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[list[list[int]], int]:
    """Rows of identical or nearly alike pictures, chained (a like b, b like c), sets of two and more; and how many
    rows were not compared with every candidate.

    Of identical pictures one stands for all; pictures of one flat colour are left out. Pairs that a chain has joined
    already are not even listed, so long films stay cheap. Two pictures that have each been compared with ``TRIES``
    others in vain are not compared with each other, so the time grows with the pictures and not with their square.
    """
    same = identical(facts)
    copies = {row for rows in same for row in rows[1:]}
    rows = np.array(
        [r for r, f in enumerate(facts) if f.failure is None and r not in copies and not f.flat],
        dtype=np.int64,
    )
    sets = _Sets(len(facts))
    for first, *others in same:
        for other in others:
            sets.join(first, other)
    vain = np.zeros(len(rows), dtype=np.int64)
    if len(rows) > 1:
        place = np.zeros(len(facts), dtype=np.int64)
        place[rows] = np.arange(len(rows))
        hashes = np.array([facts[r].phash for r in rows], dtype=np.uint64)
        grey = np.stack([facts[r].grey for r in rows])
        coarse = _standardised(grey.reshape(-1, 8, 4, 8, 4).mean((2, 4))).reshape(-1, 64)

        def labels() -> np.ndarray:
            found = place[sets.flatten()[rows]]
            found[vain >= TRIES] = len(rows)
            return found

        def tell(done: int, total: int) -> None:
            if progress is not None:
                progress("near duplicates", done, total)

        for i, j in candidates(hashes, bits, labels, tell):
            worth = (coarse[i] * coarse[j]).mean(1) > _COARSE
            a, b = i[worth], j[worth]
            while len(a):
                root = sets.flatten()[rows]
                open_ = (root[a] != root[b]) & ((vain[a] < TRIES) | (vain[b] < TRIES))
                a, b = a[open_], b[open_]
                # Once for each j: when it joins, the other pairs of these sets need no proof.
                now = np.unique(b, return_index=True)[1][:_PROOF_CHUNK]
                one, other = a[now], b[now]
                a, b = np.delete(a, now), np.delete(b, now)
                proven = difference(grey[one], grey[other]) <= limit
                for x, y in zip(rows[one[proven]], rows[other[proven]], strict=True):
                    sets.join(int(x), int(y))
                for failed in (one[~proven], other[~proven]):
                    vain += np.bincount(failed, minlength=len(rows))
    members = defaultdict(list)
    for row, root in enumerate(sets.flatten()):
        members[int(root)].append(row)
    return [found for found in members.values() if len(found) > 1], int((vain >= TRIES).sum())


def problems(
    catalog: Catalog, same: Sequence[Sequence[int]], near: Sequence[Sequence[int]], tired: int = 0
) -> list[Problem]:
    """Words for the sets of rows that ``identical`` and ``alike`` found (a set found by both is said once), and for the
    rows that were not compared with all."""
    exact = {frozenset(rows) for rows in same}
    found = [p for rows in same for p in _judged(catalog, rows, "", "files hold the same picture")]
    for rows in near:
        if frozenset(rows) not in exact:
            found += _judged(catalog, rows, "near-", "pictures are nearly alike")
    if tired:
        text = f"{tired} pictures resemble {TRIES} others or more that are no copies: of these not every pair was "
        found.append(
            Problem.of("look-alikes", "", f"{text}compared, and a near copy among them may be missed.")
        )
    return found


def _judged(catalog: Catalog, rows: Sequence[int], near: str, what: str) -> Iterator[Problem]:
    samples = [catalog.samples[row] for row in rows]
    labels = sorted({sample.label for sample in samples} - {UNLABELLED})
    splits = [split for split in SPLITS if any(sample.split == split for sample in samples)]
    cases = {}
    if len(labels) > 1:
        cases["duplicate-two-classes"] = f" under {' and '.join(catalog.classes[label] for label in labels)}"
    if len(splits) > 1:
        cases["duplicate-across-splits"] = f" in {' and '.join(splits)}"
    for name, where in (cases or {"duplicate": ""}).items():
        message = f"{len(rows)} {what}{where}: {CODES[near + name].advice}."
        yield Problem.of(near + name, samples[0].path, message, [sample.path for sample in samples[1:]])
