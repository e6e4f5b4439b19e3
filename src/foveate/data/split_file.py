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


def _class_names(catalog: Catalog) -> list[str]:
    """The class of each row, "" where it has none."""
    names = (*catalog.classes, "")  # at UNLABELLED, the last place
    return [names[sample.label] for sample in catalog.samples]


def split_hash(catalog: Catalog) -> str:
    """12 hex digits over (path, class name, split), whatever the order of rows and the root."""
    rows = sorted(row[:3] for row in split_table(catalog))
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:12]


def split_table(catalog: Catalog, folds: Sequence[int] | None = None) -> list[tuple[str, str, str, str, str]]:
    """(path, class name, split, group, fold) a picture, sorted by path; "" where there is none."""
    numbers = ["" if fold == NO_FOLD else str(fold) for fold in folds or [NO_FOLD] * len(catalog)]
    rows = zip(catalog.samples, _class_names(catalog), numbers, strict=True)
    return sorted((s.path, name, s.split, s.group, fold) for s, name, fold in rows)


def save_split(catalog: Catalog, path: Path, folds: Sequence[int] | None = None) -> None:
    """Write the split file: ``SPLIT_COLUMNS``, label being the class's name; sorted by path, so it compares well."""
    write_csv(Path(path), SPLIT_COLUMNS, split_table(catalog, folds))


def load_split(path: Path, catalog: Catalog) -> Catalog:
    """``catalog`` with the splits of the file, and its groups where the catalog has none.

    Raises:
        DataError: see ``read_split``; or it leaves the split of a picture open (choose a fold), or divides a group of
            the catalog.
    """
    result, _ = read_split(Path(path), catalog)
    undecided = [s.path for s in result.samples if not s.split]
    if undecided:
        raise DataError(
            f"{path} gives no split to {len(undecided)} pictures (first: {undecided[0]}); choose a fold, or fill it in."
        )
    refuse_divided_groups(result, f"{path} would", "draw the split again with these groups")
    return result


def read_split(path: Path, catalog: Catalog) -> tuple[Catalog, list[int]]:
    """The catalog with splits and groups of the file, and one fold a row.

    Raises:
        DataError: the file is missing or malformed, or lists other pictures or other labels than the catalog.
    """
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
    name_of = {path: path if path in rows else forms.get(composed(path), "") for path in known}
    lacking = [path for path, name in name_of.items() if not name]
    foreign = rows.keys() - name_of.values()
    for paths, what in ((lacking, "lacks"), (foreign, "lists, but the data set lacks,")):
        if paths:
            raise DataError(
                f"{path} {what} {few(sorted(paths), FEW)}; it belongs to another state of {catalog.root}."
            )
    pairs = [(s, rows[name_of[s.path]]) for s in catalog.samples]
    other = [
        f"{s.path} ('{row['label']}', now '{name}')"
        for (s, row), name in zip(pairs, _class_names(catalog), strict=True)
        if composed(row["label"]) != composed(name)
    ]
    if other:
        raise DataError(f"{path} has another label for {few(other, FEW)}; draw the split again.")
    samples = tuple(
        replace(s, split=row["split"], group=s.group or composed(row.get("group", "").strip()))
        for s, row in pairs
    )
    return replace(catalog, samples=samples), [int(row.get("fold") or NO_FOLD) for _, row in pairs]
