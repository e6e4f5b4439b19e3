"""Identical and nearly alike pictures, within a split, across splits and under two classes.

Identical means the same upright RGB pixels, whatever the files' bytes. Nearly alike means a copy that was scaled,
re-encoded, brightened or shifted a little, or the neighbouring frame of a film. Candidates are pairs whose perceptual
hashes (64-bit DCT hash) differ in few bits; grey thumbnails prove them, so that two birds before one hedge are not
called alike: see ``difference``.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

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
    """Every pair i < j whose hashes (N,) uint64 differ in at most ``bits`` bits, in chunks of two (m,) int64 arrays;
    ``tell`` is called with (rows done, rows)."""
    step = max(1, _CHUNK // max(1, len(hashes)))
    for start in range(0, len(hashes), step):
        ahead = hashes[start:]
        i, j = np.nonzero(np.bitwise_count(ahead[:step, None] ^ ahead) <= bits)
        yield start + i[i < j], start + j[i < j]
        tell(min(start + step, len(hashes)), len(hashes))


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
