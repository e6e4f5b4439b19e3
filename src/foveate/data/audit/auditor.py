"""``audit``: everything that is wrong with a set of pictures, found in one pass over them and remembered."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from foveate.core.config import Config
from foveate.core.memo import read_memo, write_memo
from foveate.data import annotations
from foveate.data.audit import checks, cues, duplicates
from foveate.data.audit.facts import scan
from foveate.data.audit.remembered import RememberedFacts
from foveate.data.audit.report import Audit, Problem, in_order
from foveate.data.cache_config import CacheConfig, cache_folder
from foveate.data.catalog import Catalog
from foveate.data.discover import Discovery

AUDIT_VERSION = 2


class AuditConfig(Config):
    """What counts as a problem."""

    class_floor: int = Field(default=20, ge=0, le=1_000_000)
    """Labelled pictures a class should have; fewer is a warning."""
    imbalance: float = Field(default=5.0, ge=1)
    """Largest class over smallest; more is a warning."""
    near_duplicates: bool = True
    """Look for pictures that are nearly alike (identical ones are always looked for)."""
    near_duplicate_bits: int = Field(default=10, ge=0, le=15)
    """Bits of 64 in which the perceptual hashes of two nearly alike pictures may differ."""
    near_duplicate_difference: float = Field(default=0.35, gt=0, le=1)
    """Worst cell's difference up to which two pictures count as nearly alike (``duplicates.difference``; 0
    = same). On nine real sets every pair up to 0.36 was a true near copy, and the first false one had
    0.41."""
    probes: bool = True
    """Run the Clever-Hans probe."""
    probe_limit: int = Field(default=2000, ge=50, le=1_000_000)
    """Pictures that the probe looks at, at most."""
    probe_margin: float = Field(default=0.15, ge=0, lt=1)
    """A cue is far above chance when the lower end of its interval is further from chance than this share
    of the way to certainty."""
    mask_edge: int = Field(default=1, ge=0, le=512)
    """Rim around the object that is not background, in 64ths of the side."""
    seed: int = 0
    """Of the probe's sample, folds and forest."""
    threads: int | None = Field(default=None, ge=1, le=256)
    """Threads that decode; None: one for each core. The result does not depend on it."""


def audit(
    catalog: Catalog,
    config: AuditConfig | None = None,
    *,
    empty_classes: Sequence[str] = (),
    cache: CacheConfig | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Audit:
    """Look at every picture, mask and row of ``catalog``.

    Args:
        catalog: with or without splits, masks, groups and labels.
        config: thresholds; None: the defaults.
        empty_classes: names of class folders without a picture, which a catalog may not hold.
        cache: where what was seen is remembered, so that no file is read twice; None: nowhere.
        progress: called with (stage, done, total); stages are "pictures", "near duplicates" and "cues".

    Pictures that cannot be read become problems; nothing is raised for them.
    """
    config = config or AuditConfig()
    memory = RememberedFacts(cache, catalog, config.mask_edge) if cache and cache.enabled else None
    known = memory.known() if memory else {}
    facts = scan(catalog, mask_edge=config.mask_edge, threads=config.threads, known=known, progress=progress)
    if memory and len(known) < len(facts):
        memory.keep(facts)
    same = duplicates.identical(facts)
    near, tired = same, 0
    if config.near_duplicates:
        bits, limit = config.near_duplicate_bits, config.near_duplicate_difference
        near, tired = duplicates.alike(facts, bits=bits, limit=limit, progress=progress)
    found = [
        *checks.file_problems(catalog, facts),
        *duplicates.problems(catalog, same, near, tired),
        *checks.class_problems(catalog, empty_classes, floor=config.class_floor, imbalance=config.imbalance),
        *checks.group_problems(catalog),
        *checks.attribute_problems(catalog),
        *checks.mask_problems(catalog, facts),
    ]
    probed = []
    if config.probes:
        margin, limit = config.probe_margin, config.probe_limit
        probed = cues.probe(
            catalog, facts, near, margin=margin, limit=limit, seed=config.seed, progress=progress
        )
    cheats = [cue for cue in probed if cue.far_above and cue.kind == "shortcut"]
    found += [Problem.of("shortcut", "", cue.verdict) for cue in cheats]
    alike = tuple(tuple(catalog.samples[row].path for row in rows) for rows in near)
    sources = tuple(fact.mask.source if fact.mask else "" for fact in facts)
    return Audit(in_order(found), tuple(probed), catalog, alike, sources)


def checked(
    found: Discovery, cache: CacheConfig, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Any]:
    """The audit with default settings as plain values; remembered in the cache folder as long as no file changes."""
    memory = _memory(found, cache)
    known: dict[str, Any] | None = read_memo(memory) if cache.enabled else None
    if known is not None:
        return known
    report = audit(found.catalog, empty_classes=found.empty_classes, cache=cache, progress=progress).as_dict()
    if cache.enabled:
        write_memo(memory, report)
    return report


def remember(found: Discovery, report: Audit) -> None:
    """Keep what ``audit`` found with its default settings, so that ``checked`` need not look again."""
    write_memo(_memory(found, CacheConfig()), report.as_dict())


def _memory(found: Discovery, cache: CacheConfig) -> Path:
    return cache_folder(cache) / "audits" / f"{state_of_files(found)}.json"


def state_of_files(found: Discovery) -> str:
    """A key over everything that the audit depends on: paths, sizes, times, labels, splits, masks."""
    catalog = found.catalog
    digest = hashlib.sha256(f"{AUDIT_VERSION} {catalog.root} {found.empty_classes}".encode())
    digest.update(catalog.hash.encode())
    for row, sample in enumerate(catalog.samples):
        for file in (catalog.file(row), *annotations.mask_files(catalog.root, sample.mask)):
            if file.is_file():
                status = file.stat()
                digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
