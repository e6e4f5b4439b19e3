"""A CSV table of pictures -> Catalog.

Needed columns: a path (path, file, filename, image) and a label (label, class, species, target). Optional:
split, mask (a path or a mask reference), group, class_id. Case does not matter; comma, semicolon or tab
separates.
"""

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from foveate.core.errors import DataError
from foveate.data.annotations import READERS
from foveate.data.catalog import UNLABELLED, Catalog, Sample

PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image")
LABEL_COLUMNS = ("label", "class", "species", "target")
SUFFIXES = (".csv", ".tsv")

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Lower-case names of splits, of folders and in tables."""


@dataclass(frozen=True)
class Header:
    """The first line of a table."""

    delimiter: str
    columns: dict[str, int]
    """{lower-case name: position}"""

    def first(self, names: Iterable[str]) -> str | None:
        """The first of ``names`` that is a column."""
        return next((name for name in names if name in self.columns), None)

    @property
    def is_manifest(self) -> bool:
        """Whether there is a path column and a label column."""
        return self.first(PATH_COLUMNS) is not None and self.first(LABEL_COLUMNS) is not None


def read_header(path: Path) -> Header:
    """Read the column names; the separator is the one of comma, semicolon and tab that gives most columns.

    Raises:
        DataError: unreadable, not UTF-8, or the same column twice.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            line = stream.readline()
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; save it as CSV UTF-8.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    best: tuple[str, list[str]] = (",", [])
    for delimiter in ",;\t":
        names = next(csv.reader([line], delimiter=delimiter), [])
        if len(names) > len(best[1]):
            best = (delimiter, names)
    names = [name.strip().lower() for name in best[1]]
    if len(set(names)) < len(names):
        raise DataError(f"{path} has the same column twice: {', '.join(names)}; rename one.")
    return Header(best[0], {name: i for i, name in enumerate(names)})


def read_rows(path: Path, header: Header) -> list[tuple[int, list[str]]]:
    """[(line number, cells)] below the header; empty lines are skipped.

    Raises:
        DataError: not UTF-8, not CSV, or a row with another number of cells than the header.
    """
    rows = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter=header.delimiter)
            next(reader, None)
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header.columns):
                    counts = f"{len(row)} cells, the header has {len(header.columns)}"
                    raise DataError(
                        f"{path}, line {reader.line_num}: {counts}; quote cells that hold a separator."
                    )
                rows.append((reader.line_num, row))
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; save it as CSV UTF-8.") from None
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV table: {error}.") from error
    return rows


def read_manifest(path: Path, *, root: Path | None = None, group_column: str | None = None) -> Catalog:
    """Read a table of pictures.

    Classes are sorted by name, or by number when every class (or every class_id) is a number. A row without
    a label is unlabelled. Relative paths are resolved against the table's folder, or, when nothing is found
    there, ``root``.

    Args:
        path: the table.
        root: the data folder when it is not the table's own.
        group_column: the column of groups; "group" when None, if there is one.

    Raises:
        DataError: no such file, missing columns, an unknown split, class with two ids, or no picture exists.
    """
    header = read_header(path)
    path_column, label_column = header.first(PATH_COLUMNS), header.first(LABEL_COLUMNS)
    if path_column is None or label_column is None:
        raise DataError(
            f"{path} has the columns {', '.join(header.columns) or '(none)'}; it needs a path "
            f"({', '.join(PATH_COLUMNS)}) and a label ({', '.join(LABEL_COLUMNS)}), and may have "
            "split, mask, group, class_id."
        )
    if group_column is not None and group_column.lower() not in header.columns:
        raise DataError(
            f"{path} has no column '{group_column}' for groups; it has {', '.join(header.columns)}."
        )
    rows = read_rows(path, header)
    if not rows:
        raise DataError(f"{path} has a header but no rows; list at least one picture.")

    def cell(row: list[str], column: str | None) -> str:
        position = header.columns.get(column) if column else None
        return "" if position is None else row[position]

    base = _base(path, [cell(row, path_column) for _, row in rows], root)
    class_of_id: dict[str, str] = {}
    id_of_class: dict[str, str] = {}
    parsed = []
    for line, row in rows:
        label, class_id = cell(row, label_column).strip(), cell(row, "class_id").strip()
        split = cell(row, "split").strip()
        if split and split.lower() not in SPLIT_NAMES:
            raise DataError(f"{path}, line {line}: split '{split}' is not one of {', '.join(SPLIT_NAMES)}.")
        if label:
            class_id = class_id or label
            known = (id_of_class.setdefault(label, class_id), class_of_id.setdefault(class_id, label))
            if known != (class_id, label):
                raise DataError(
                    f"{path}, line {line}: class '{label}' with class_id '{class_id}' contradicts "
                    "an earlier row; each class needs one id of its own."
                )
        picture = relative(base, cell(row, path_column))
        if not picture:
            raise DataError(
                f"{path}, line {line}: the {path_column} is empty; name a picture or remove the row."
            )
        mask = _mask(base, cell(row, "mask").strip())
        group = cell(row, group_column.lower() if group_column else "group")
        parsed.append((picture, label, SPLIT_NAMES.get(split.lower(), ""), mask, group))
    classes = sorted_classes(id_of_class)
    index = {name: i for i, name in enumerate(classes)}
    samples = tuple(Sample(p, index.get(label, UNLABELLED), split, m, g) for p, label, split, m, g in parsed)
    return Catalog(base, tuple(classes), samples, tuple(id_of_class[name] for name in classes))


def sorted_classes(id_of_class: dict[str, str]) -> list[str]:
    """Class names by id number when every id is one, else alphabetically."""
    if all(class_id.isascii() and class_id.isdigit() for class_id in id_of_class.values()):
        return sorted(id_of_class, key=lambda name: (int(id_of_class[name]), id_of_class[name]))
    return sorted(id_of_class)


def relative(base: Path, text: str) -> str:
    """A path of a table as a catalog holds it: relative to ``base`` when inside it, with forward slashes."""
    if "\\" in text and not (base / text).exists():
        text = text.replace("\\", "/")  # a table written on Windows
    if os.path.isabs(text):
        normal = os.path.normpath(text)
        inside = Path(normal).is_relative_to(base)
        return Path(normal).relative_to(base).as_posix() if inside else normal
    return os.path.normpath(text) if text else ""


def lists_pictures(path: Path, header: Header) -> bool:
    """Whether any picture of the table exists."""
    column = header.columns[header.first(PATH_COLUMNS) or ""]
    return _first_base([path.parent], [row[column] for _, row in read_rows(path, header)]) is not None


def _first_base(bases: list[Path], pictures: list[str]) -> Path | None:
    """The first folder below which any of the pictures exists."""
    for base in bases:
        if any(picture and (base / relative(base, picture)).is_file() for picture in pictures):
            return base
    return None


def _base(path: Path, pictures: list[str], root: Path | None) -> Path:
    """The folder that the table's relative paths start from."""
    own = Path(os.path.abspath(path.parent))
    bases = [own] if root is None or root == own else [own, root]
    base = _first_base(bases, pictures)
    if base is None:
        raise DataError(
            f"None of the {len(pictures)} pictures of {path} exists, for example {pictures[0]!r} (looked in "
            f"{' and '.join(map(str, bases))}); paths start at the table's folder and include the suffix."
        )
    return base


def _mask(base: Path, text: str) -> str:
    kind = text.partition(":")[0].partition("[")[0]
    return text if not text or kind in READERS else f"png:{relative(base, text)}"
