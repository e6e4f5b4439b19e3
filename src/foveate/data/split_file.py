"""The split file: which picture trains, validates or tests, and its hash.

A CSV with the columns path, label, split, group and fold, sorted by path. All runs of a comparison follow
one file.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from foveate.core.errors import DataError, few, shown
from foveate.core.files import write_csv
from foveate.core.reading import read_csv
from foveate.data.catalog import SPLITS, UNLABELLED, Catalog, composed

SPLIT_COLUMNS = ("path", "label", "split", "group", "fold")
NO_FOLD = -1
FEW = 3
"""Pictures that a message lists."""


def refuse_divided_groups(catalog: Catalog, who: str, way_out: str) -> None:
    """Raise a DataError when labelled pictures of one group lie in two splits."""
    seen: dict[str, tuple[str, str]] = {}
    for sample in catalog.samples:
        if sample.group and sample.split and sample.label != UNLABELLED:
            path, part = seen.setdefault(sample.group, (sample.path, sample.split))
            if part != sample.split:
                raise DataError(
                    f"{who} divide group '{sample.group}': {path} is in {part}, {sample.path} in "
                    f"{sample.split}; {way_out}."
                )


def split_hash(catalog: Catalog) -> str:
    """12 hex digits over (path, class name, split), whatever the order of rows and the root."""
    rows = sorted((s.path, _class_name(catalog, s.label), s.split) for s in catalog.samples)
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:12]


def split_table(catalog: Catalog, folds: Sequence[int] | None = None) -> list[tuple[str, str, str, str, str]]:
    """(path, class name, split, group, fold) a picture, sorted by path; "" where there is none."""
    numbers = [NO_FOLD] * len(catalog) if folds is None else list(folds)
    return sorted(
        (s.path, _class_name(catalog, s.label), s.split, s.group, "" if fold == NO_FOLD else str(fold))
        for s, fold in zip(catalog.samples, numbers, strict=True)
    )


def save_split(catalog: Catalog, path: Path, folds: Sequence[int] | None = None) -> None:
    """Write the split file: path, label (class name), split, group, fold; sorted by path, so it compares
    well."""
    write_csv(Path(path), SPLIT_COLUMNS, split_table(catalog, folds))


def load_split(path: Path, catalog: Catalog) -> Catalog:
    """``catalog`` with the splits of the file, and its groups where the catalog has none.

    Raises:
        DataError: the file is missing or malformed, lists other pictures or other labels than the catalog,
        leaves the
            split of a picture open (choose a fold), or divides a group of the catalog.
    """
    result, _ = read_split(Path(path), catalog)
    open_rows = [s.path for s in result.samples if not s.split]
    if open_rows:
        raise DataError(
            f"{path} gives no split to {len(open_rows)} pictures (first: {open_rows[0]}); choose a fold, "
            "or fill it in."
        )
    refuse_divided_groups(result, f"{path} would", "draw the split again with these groups")
    return result


def read_split(path: Path, catalog: Catalog) -> tuple[Catalog, list[int]]:
    """The catalog with splits and groups of the file, and one fold a row."""
    if not path.is_file():
        raise DataError(f"The split file {path} does not exist; make it with 'foveate split'.")
    table = read_csv(
        path, ("path", "label", "split"), advice=f"; a split file has {', '.join(SPLIT_COLUMNS)}"
    )
    rows: dict[str, dict[str, str]] = {}
    for line, row in table.records():
        if row["path"] in rows:
            raise DataError(f"{path}, line {line}: {row['path']} is listed twice.")
        if row["split"] not in ("", *SPLITS):
            raise DataError(
                f"{path}, line {line}: split {shown(row['split'])} is none of {', '.join(SPLITS)}."
            )
        if row.get("fold") and not re.fullmatch("[0-9]{1,6}", row["fold"]):
            raise DataError(f"{path}, line {line}: fold {shown(row['fold'])} is not a number from 0.")
        rows[row["path"]] = row
    known = {s.path for s in catalog.samples}
    forms = {composed(path): path for path in rows if path not in known}  # written on another system
    listed = {path: path if path in rows else forms.get(composed(path)) for path in known}
    lacking = {path for path, name in listed.items() if name is None}
    for paths, what in (
        (lacking, "lacks"),
        (set(rows) - set(listed.values()), "lists, but the data set lacks,"),
    ):
        if paths:
            raise DataError(
                f"{path} {what} {few(sorted(paths), FEW)}; it belongs to another state of {catalog.root}."
            )
    row_of = {path: rows[name] for path, name in listed.items() if name is not None}
    other = [
        f"{s.path} ('{row_of[s.path]['label']}', now '{_class_name(catalog, s.label)}')"
        for s in catalog.samples
        if composed(row_of[s.path]["label"]) != composed(_class_name(catalog, s.label))
    ]
    if other:
        raise DataError(f"{path} has another label for {few(other, FEW)}; draw the split again.")
    samples = tuple(
        replace(
            s,
            split=row_of[s.path]["split"],
            group=s.group or composed((row_of[s.path].get("group") or "").strip()),
        )
        for s in catalog.samples
    )
    folds = [int(row_of[s.path].get("fold") or NO_FOLD) for s in catalog.samples]
    return replace(catalog, samples=samples), folds


def _class_name(catalog: Catalog, label: int) -> str:
    return "" if label == UNLABELLED else catalog.classes[label]
