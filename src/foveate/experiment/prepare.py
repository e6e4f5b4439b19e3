"""From a folder of pictures to a checked catalog with splits; nothing is trained on what was not looked at."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foveate.core.errors import DataError
from foveate.data.audit.auditor import checked
from foveate.data.audit.checks import only_one_class
from foveate.data.catalog import Catalog
from foveate.data.discover import discover, flat, is_flat
from foveate.data.split import split
from foveate.experiment.specification import DataConfig
from foveate.training import Observer


@dataclass(frozen=True)
class Prepared:
    """Pictures ready to train on."""

    catalog: Catalog
    """Every sample has a split."""
    notes: tuple[str, ...]
    """Automatic choices and warnings, a sentence each."""
    quarantined: tuple[dict[str, str], ...]
    """{"path", "reason"} of every picture left out."""
    alike: tuple[tuple[str, ...], ...] = ()
    """Paths of (nearly) equal pictures, a tuple for each set."""


def prepare(
    data: Path, config: DataConfig, *, quarantine: bool, observer: Observer, labels: bool = True
) -> Prepared:
    """Discover, check, split.

    Args:
        labels: whether the pictures need classes; without, one flat folder of pictures will do.

    Raises:
        DataError: nothing found; or the check found errors and ``quarantine`` is off.
    """
    found = discover(data, config.layout) if labels or not is_flat(data) else flat(data)
    # A split file lists every picture, so it is read first; and the check must see what it divides.
    given = split(found.catalog, config.split) if config.split.file else None
    if given:
        found = replace(found, catalog=given.catalog)
    if labels:
        _refuse_one_class(data, found.catalog)
    report = checked(found, config.cache, observer.progress)
    errors = [problem for problem in report["problems"] if problem["severity"] == "error"]
    if errors and not quarantine:
        raise DataError(_refusal(data, errors))
    catalog, quarantined = keep_together(found.catalog, report["alike"]), tuple[dict[str, str], ...]()
    if errors:
        catalog, quarantined = _without(catalog, report["quarantine"], errors)
        if labels:
            _refuse_one_class(data, catalog)
    result = replace(given, catalog=catalog) if given else split(catalog, config.split)
    warnings = [p["message"] for p in report["problems"] if p["severity"] == "warning"]
    cues = [cue["verdict"] for cue in report["cues"] if cue["far_above"] and cue["kind"] == "shortcut"]
    notes = (*found.notes, *result.notes, *warnings, *cues)
    alike = tuple(tuple(paths) for paths in report["alike"])
    return Prepared(result.catalog, tuple(dict.fromkeys(notes)), quarantined, alike)


def _refuse_one_class(data: Path, catalog: Catalog) -> None:
    alone = only_one_class(catalog)
    if alone:
        raise DataError(f"{data}: {alone}")


def _refusal(data: Path, errors: list[dict[str, Any]]) -> str:
    shown = "; ".join(f"{e['path'] or 'the set'}: {e['message']}" for e in errors[:3])
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return (
        f"{data} has {len(errors)} error{'s' if len(errors) > 1 else ''} ({shown}{more}). "
        f"'foveate check {data}' lists them; mend them, or train with --quarantine to leave those pictures out."
    )


def _without(
    catalog: Catalog, paths: list[str], errors: list[dict[str, Any]]
) -> tuple[Catalog, tuple[dict[str, str], ...]]:
    """The catalog without these pictures, and without classes that are then empty."""
    gone = set(paths)
    reasons: dict[str, str] = {}
    for error in errors:
        for path in (error["path"], *error["related"]):
            if path in gone:
                reasons.setdefault(path, error["message"])
    kept = catalog.subset([i for i, s in enumerate(catalog.samples) if s.path not in gone])
    return drop_empty_classes(kept), tuple(
        {"path": path, "reason": reasons.get(path, "part of a problem the check found")}
        for path in sorted(gone)
    )


def keep_together(catalog: Catalog, alike: list[list[str]]) -> Catalog:
    """One group for each set of (nearly) equal pictures, so that none is tested on what was trained on.

    Only where the data set has neither groups nor splits of its own: those are the user's word.
    """
    if any(sample.group or sample.split for sample in catalog.samples):
        return catalog
    group = {path: f"alike to {min(paths)}" for paths in alike for path in paths}
    return catalog.with_column("group", [group.get(s.path, "") for s in catalog.samples])


def drop_empty_classes(catalog: Catalog) -> Catalog:
    """The same pictures with contiguous labels over the classes that have any."""
    counts = catalog.counts()
    if counts.all():
        return catalog
    used = [label for label in range(len(catalog.classes)) if counts[label]]
    new = {old: i for i, old in enumerate(used)}
    samples = tuple(replace(s, label=new.get(s.label, -1)) for s in catalog.samples)
    return replace(
        catalog,
        classes=tuple(catalog.classes[label] for label in used),
        samples=samples,
        class_ids=tuple(catalog.class_ids[label] for label in used),
    )
