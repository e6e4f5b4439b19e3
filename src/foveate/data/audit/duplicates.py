"""Identical and nearly alike pictures, within a split, across splits and under two classes.

Identical means the same upright RGB pixels, whatever the files' bytes. Nearly alike means a copy that was scaled,
re-encoded, brightened or shifted a little, or the neighbouring frame of a film. Candidates are pairs whose perceptual
hashes (64-bit DCT hash) differ in few bits; grey thumbnails prove them, so that two birds before one hedge are not
called alike: see ``difference``.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations, pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from foveate.data.audit.facts import GREY_SIDE, Facts
from foveate.data.audit.report import CODES, Problem
from foveate.data.catalog import SPLITS, UNLABELLED, Catalog

_SHIFT = 2  # thumbnail pixels, 1/16 of the side
_CELLS = 4  # a side
_CHUNK = 1 << 20  # pairs of hashes that are compared at once
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
    hashes: np.ndarray, bits: int, tell: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every pair i < j whose hashes (N,) uint64 differ in at most ``bits`` bits, once, in chunks of two (m,) int64
    arrays; ``tell`` is called with (rows done, rows).

    When the 64 bits are cut into bands, one of them differs in no more than its share of ``bits``; with bands of about
    log2(N) bits the rows that are so near in a band are few and looked up (multi-index hashing). Rows that resemble
    most others are compared with all. Source: Norouzi et al., Fast search in Hamming space, CVPR 2012.
    """
    count = max(1, round(64 / max(8, np.log2(max(2, len(hashes))))))
    cuts = np.linspace(0, 64, count + 1).astype(int).tolist()
    bands = [_Band(hashes, low, high, bits // count) for low, high in pairwise(cuts)]
    step = max(1, _CHUNK // sum(len(band.changes) for band in bands))
    for start in range(0, len(hashes), step):
        rows = np.arange(start, min(start + step, len(hashes)))
        places = [band.places(rows) for band in bands]
        if sum(length.sum() for _, length in places) > len(rows) * len(hashes) / 8:
            yield from _all_pairs(hashes, bits, rows)
        else:
            for number, (band, (first, length)) in enumerate(zip(bands, places, strict=True)):
                for i, j in band.pairs(rows, first, length):
                    differ = hashes[i] ^ hashes[j]
                    near = (i < j) & (np.bitwise_count(differ) <= bits)
                    for earlier in bands[:number]:  # which has given this pair
                        near &= np.bitwise_count(differ & earlier.mask) > bits // count
                    yield i[near], j[near]
        tell(int(rows[-1]) + 1, len(hashes))


def _all_pairs(hashes: np.ndarray, bits: int, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    step = max(1, _CHUNK // len(hashes))
    for start in range(rows[0], rows[-1] + 1, step):
        ahead = hashes[start:]
        i, j = np.nonzero(np.bitwise_count(ahead[: min(step, rows[-1] + 1 - start), None] ^ ahead) <= bits)
        yield start + i[i < j], start + j[i < j]


class _Band:
    """The bits ``low`` to ``high`` of all hashes, and where a value of them occurs."""

    def __init__(self, hashes: np.ndarray, low: int, high: int, reach: int) -> None:
        self.mask = np.uint64(((1 << high) - 1) ^ ((1 << low) - 1))
        self.values = ((hashes & self.mask) >> np.uint64(low)).astype(np.int64)
        self.order = np.argsort(self.values, kind="stable")
        self.starts = np.concatenate([[0], np.cumsum(np.bincount(self.values, minlength=1 << (high - low)))])
        flips = (
            sum(1 << bit for bit in c) for r in range(reach + 1) for c in combinations(range(high - low), r)
        )
        self.changes = np.array([*flips], dtype=np.int64)

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each of ``rows`` and each change of few bits: where in ``order`` the rows with that value begin, and how
        many they are, (rows, changes)."""
        near = self.values[rows, None] ^ self.changes
        return self.starts[near], self.starts[near + 1] - self.starts[near]

    def pairs(
        self, rows: np.ndarray, first: np.ndarray, length: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Every row with every row in its places, both ways round."""
        some = np.flatnonzero(length)
        one, first, length = rows[some // length.shape[1]], first.ravel()[some], length.ravel()[some]
        ends = np.cumsum(length)
        for part in np.split(np.arange(len(some)), np.flatnonzero(np.diff(ends // _CHUNK)) + 1):
            many = length[part]
            within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
            yield np.repeat(one[part], many), self.order[np.repeat(first[part], many) + within]


def joined(sets: np.ndarray, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """(N,) the number of the set that each row is in, from 0; ``sets`` (N,) as it was before the rows of ``pairs`` were
    joined."""
    links = sets[np.array([*pairs], dtype=np.int64).reshape(-1, 2)]
    graph = coo_array((np.ones(len(links)), links.T), shape=(len(sets), len(sets)))
    return connected_components(graph, directed=False)[1].astype(np.int64)[sets]


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
    already are not proven, so long films stay cheap. Nor are two pictures that have each been compared with ``TRIES``
    others in vain, so the number of proofs grows with the pictures and not with their square.
    """
    same = identical(facts)
    copies = {row for rows in same for row in rows[1:]}
    rows = np.array(
        [r for r, f in enumerate(facts) if f.failure is None and r not in copies and not f.flat],
        dtype=np.int64,
    )
    vain = np.zeros(len(rows), dtype=np.int64)
    sets = joined(np.arange(len(facts)), ((rows[0], row) for rows in same for row in rows[1:]))
    grey = np.array([facts[r].grey for r in rows]).reshape(-1, GREY_SIDE, GREY_SIDE)
    coarse = _standardised(grey.reshape(-1, 8, 4, 8, 4).mean((2, 4))).reshape(-1, 64)
    hashes = np.array([facts[r].phash for r in rows], dtype=np.uint64)
    tell = {} if progress is None else {"tell": partial(progress, "near duplicates")}
    for a, b in candidates(hashes, bits, **tell):
        apart = sets[rows[a]] != sets[rows[b]]
        a, b = a[apart], b[apart]
        worth = (coarse[a] * coarse[b]).mean(1) > _COARSE
        a, b = a[worth], b[worth]
        while len(a):
            still = (sets[rows[a]] != sets[rows[b]]) & ((vain[a] < TRIES) | (vain[b] < TRIES))
            a, b = a[still], b[still]
            # Once for each b: when it joins, the other pairs of these sets need no proof.
            now = np.unique(b, return_index=True)[1][:_PROOF_CHUNK]
            one, other = a[now], b[now]
            a, b = np.delete(a, now), np.delete(b, now)
            proven = difference(grey[one], grey[other]) <= limit
            if proven.any():
                sets = joined(sets, zip(rows[one[proven]], rows[other[proven]], strict=True))
            for failed in (one[~proven], other[~proven]):
                vain += np.bincount(failed, minlength=len(rows))
    members = defaultdict(list)
    for row, place in enumerate(sets.tolist()):
        members[place].append(row)
    return [found for found in members.values() if len(found) > 1], int((vain >= TRIES).sum())


def problems(
    catalog: Catalog, same: Sequence[Sequence[int]], near: Sequence[Sequence[int]], tired: int = 0
) -> Iterator[Problem]:
    """Words for the sets of rows that ``identical`` and ``alike`` found (a set found by both is said once), and for the
    rows that were not compared with all."""
    exact = {frozenset(rows) for rows in same}
    for rows in same:
        yield from _judged(catalog, rows, "", "files hold the same picture")
    for rows in near:
        if frozenset(rows) not in exact:
            yield from _judged(catalog, rows, "near-", "pictures are nearly alike")
    if tired:
        text = f"{tired} pictures resemble {TRIES} others or more that are no copies: of these not every pair was "
        yield Problem.of("look-alikes", "", f"{text}compared, and a near copy among them may be missed.")


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
