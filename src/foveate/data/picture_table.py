"""CSV tables: their columns by name, separator found by itself, and what the cells of a table of pictures mean."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from foveate.core.errors import DataError
from foveate.core.reading import read_csv
from foveate.data.catalog import composed
from foveate.data.layout_settings import ROLES

PATH_COLUMNS = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img_path"),
    *("image_name", "image_file", "filenames", "filepaths", "images"),
)
LABEL_COLUMNS = ("label", "class", "species", "target", "category", "class_name", "labels")
FLAGS = {"is_valid": "val", "is_val": "val", "is_test": "test"}
"""{column of True and False: the split where it is true}; the others train."""
SUFFIXES = (".csv", ".tsv")

NOTHING = frozenset({"nan", "<na>", "#n/a", "n/a", "null"})
"""What programs write into a cell that holds nothing, in lower case."""
_TRUE = frozenset({"1", "1.0", "true", "yes"})
_FALSE = frozenset({"0", "0.0", "false", "no", ""})


Row = Mapping[str, str]
"""{column in lower case: cell}."""


def read_rows(path: Path) -> tuple[tuple[str, ...], list[tuple[int, Row]]]:
    """The columns' names as they are written, and (line, cells) of each row that is not empty; comma, semicolon or tab
    separates.

    Raises:
        DataError: see ``read_csv``; or two names differ in case or spaces only.
    """
    read = read_csv(path, delimiter=",;\t")
    written = tuple(name.strip() for name in read.header)
    names = [name.lower() for name in written]
    if len(set(names)) < len(names):
        raise DataError(f"{path} has the same column twice: {', '.join(names)}; rename one.")
    rows = zip(read.lines, read.rows, strict=True)
    return written, [(line, dict(zip(names, row, strict=True))) for line, row in rows]


def first(names: Iterable[str], columns: Iterable[str]) -> str | None:
    """The first of ``names`` that is one of ``columns``, whatever its case."""
    known = {column.lower() for column in columns}
    return next((name for name in names if name in known), None)


@dataclass(frozen=True)
class PictureTable:
    """A table of pictures."""

    path: Path
    names: tuple[str, ...]
    """The columns as they are written."""
    rows: list[tuple[int, Row]]
    """(line, cells)."""
    columns: dict[str, str]
    """{role: column}"""
    one_hot: tuple[str, ...] = ()
    """Columns of 0 and 1, one for each class, when there is no label column."""

    @classmethod
    def read(
        cls, path: Path, roles: Mapping[str, str] = {}, *, labelled: bool = True
    ) -> "PictureTable | None":
        """None when the table has no path column, or no label where one is needed.

        Args:
            path: the table.
            roles: {role: column} where the columns' names do not say it; further roles are attributes.
            labelled: whether the label must come from the table.

        Raises:
            DataError: unreadable, or a column of ``roles`` is not there.
        """
        names, rows = read_rows(path)
        columns = {}
        for role in dict.fromkeys((*ROLES, *roles)):
            usual = {"path": PATH_COLUMNS, "label": LABEL_COLUMNS}.get(role, (role,))
            named = roles.get(role, "").strip().lower()
            if named and first([named], names) is None:
                raise DataError(
                    f"{path} has no column '{roles[role]}' for the {role}; it has {', '.join(names).lower()}."
                )
            column = named or first(usual, names)
            if column:
                columns[role] = column
        if "path" not in columns:
            return None
        table = cls(path, names, rows, columns)
        if "label" in columns or not labelled:
            return table
        one_hot = table._one_hot()
        return replace(table, one_hot=one_hot) if one_hot else None

    def text(self, row: Row, role: str) -> str:
        """The cell as it is written."""
        return row[self.columns[role]] if role in self.columns else ""

    def cell(self, row: Row, role: str) -> str:
        """The cell without spaces around it; "" for what programs write into a cell that holds nothing."""
        return _clean(self.text(row, role))

    def label(self, row: Row) -> str:
        """The class; "" when there is none."""
        if not self.one_hot:
            return composed(self.cell(row, "label"))
        return next(name for name in self.one_hot if _clean(row[name.lower()]).lower() in _TRUE)

    def split(self, row: Row) -> str:
        """The split as it is written, or as a column of True and False says it; "" when there is none."""
        flag = self.flag
        if flag is None:
            return self.cell(row, "split")
        value = _clean(row[flag]).lower()
        return FLAGS[flag] if value in _TRUE else "train" if value in _FALSE else value

    @property
    def flag(self) -> str | None:
        """The column of True and False that says the split."""
        return None if "split" in self.columns else first(FLAGS, self.names)

    def base(self, bases: Sequence[Path]) -> Path | None:
        """The first folder below which any of the pictures exists."""
        pictures = [self.text(row, "path") for _, row in self.rows]
        for base in bases:
            if any(picture.strip() and (base / relative(base, picture)).is_file() for picture in pictures):
                return base
        return None

    def _one_hot(self) -> tuple[str, ...]:
        used = {*self.columns.values(), *FLAGS}
        names = [name for name in self.names if name.lower() not in used]
        cells = {name: [_clean(row[name.lower()]).lower() for _, row in self.rows] for name in names}
        binary = {name: column for name, column in cells.items() if {*column} <= (_TRUE | _FALSE) - {""}}
        ones = [sum(cell in _TRUE for cell in row) for row in zip(*binary.values(), strict=True)]
        return tuple(binary) if len(binary) > 1 and ones and set(ones) == {1} else ()


def _clean(text: str) -> str:
    text = text.strip()
    return "" if text.lower() in NOTHING else text


def relative(base: Path, text: str) -> str:
    """A path of a table as a catalog holds it: relative to ``base`` when inside it, with forward slashes.

    Spaces around it count only where there is such a file.
    """
    if text != text.strip() and not (base / text).exists():
        text = text.strip()
    if "\\" in text and not (base / text).exists():
        text = text.replace("\\", "/")  # a table written on Windows
    if os.path.isabs(text):
        normal = os.path.normpath(text)
        inside = Path(normal).is_relative_to(base)
        return Path(normal).relative_to(base).as_posix() if inside else normal
    return os.path.normpath(text) if text else ""
