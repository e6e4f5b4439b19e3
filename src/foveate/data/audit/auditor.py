"""``audit``: everything that is wrong with a set of pictures, found in one pass over them."""

from collections.abc import Callable, Sequence

from pydantic import Field

from foveate.core.config import Config
from foveate.data.audit import cues, duplicates, files, labels, masks
from foveate.data.audit.report import Audit, Problem, in_order
from foveate.data.audit.scan import scan
from foveate.data.catalog import Catalog


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
    progress: Callable[[str, int, int], None] | None = None,
) -> Audit:
    """Look at every picture, mask and row of ``catalog``.

    Args:
        catalog: with or without splits, masks, groups and labels.
        config: thresholds; None: the defaults.
        empty_classes: names of class folders without a picture, which a catalog may not hold.
        progress: called with (stage, done, total); stages are "pictures", "near duplicates" and "cues".

    Pictures that cannot be read become problems; nothing is raised for them.
    """
    config = config or AuditConfig()
    facts = scan(catalog, mask_edge=config.mask_edge, threads=config.threads, progress=progress)
    same = duplicates.identical(facts)
    near, tired = same, 0
    if config.near_duplicates:
        bits, limit = config.near_duplicate_bits, config.near_duplicate_difference
        near, tired = duplicates.alike(facts, bits=bits, limit=limit, progress=progress)
    found = files.problems(catalog, facts)
    found += duplicates.problems(catalog, same, near, tired)
    found += labels.class_problems(
        catalog, empty_classes, floor=config.class_floor, imbalance=config.imbalance
    )
    found += labels.group_problems(catalog)
    found += labels.attribute_problems(catalog)
    found += masks.problems(catalog, facts)
    probed = []
    if config.probes:
        probed = cues.probe(
            catalog,
            facts,
            near,
            margin=config.probe_margin,
            limit=config.probe_limit,
            seed=config.seed,
            progress=progress,
        )
    found += [
        Problem.of("shortcut", "", cue.verdict) for cue in probed if cue.far_above and cue.kind == "shortcut"
    ]
    alike = tuple(tuple(catalog.samples[row].path for row in rows) for rows in near)
    return Audit(in_order(found), tuple(probed), catalog, alike)
