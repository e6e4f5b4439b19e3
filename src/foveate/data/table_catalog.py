"""A CSV table of pictures -> Catalog.

Needed columns: a path (path, file, filename, image ...) and a label (label, class, species ...; or one column of 0 and
1 for each class). Optional: split (or is_valid, is_test), mask (a path or a mask reference), group, class_id. Case does
not matter; comma, semicolon or tab separates.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from foveate.core.errors import DataError
from foveate.core.reading import read_csv
from foveate.data.annotations import READERS
from foveate.data.catalog import UNLABELLED, Catalog, Sample, composed
from foveate.data.layout_settings import ATTRIBUTE_ROLE, ROLES
from foveate.data.listing import scan
from foveate.data.split_names import split_of

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
_WHOLE = re.compile(r"^(\d+)\.0+$", re.ASCII)


def read_columns(path: Path) -> tuple[tuple[str, ...], list[int], dict[str, list[str]]]:
    """The columns' names as they are written, the line of each row, and {name in lower case: cells}; comma, semicolon
    or tab separates.

    Raises:
        DataError: see ``read_csv``; or two names differ in case or spaces only.
    """
    table = read_csv(path, delimiter=",;\t")
    names = tuple(name.strip() for name in table.header)
    columns = {name.strip().lower(): table.column(name) for name in table.header}
    if len(columns) < len(names):
        raise DataError(f"{path} has the same column twice: {', '.join(names).lower()}; rename one.")
    return names, table.lines, columns


@dataclass(frozen=True)
class PictureTable:
    """A table of pictures."""

    path: Path
    lines: list[int]
    """The line of each row."""
    columns: dict[str, str]
    """{role: column}"""
    pictures: list[str]
    """Paths as they are written."""
    cells: Mapping[str, Sequence[str]]
    """{role: what each row holds, without spaces around it; "" for nothing and where there is no such column}"""
    unsaid: int
    """Rows whose label is a program's word for nothing."""
    one_hot: tuple[str, ...]
    """Columns of 0 and 1, one for each class, when there is no label column."""
    flag: str
    """The column of True and False that says the split; "" when there is none."""

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
        names, lines, table = read_columns(path)
        columns = {}
        for role in dict.fromkeys((*ROLES, *roles)):
            named = roles.get(role, "").strip().lower()
            if named and named not in table:
                raise DataError(
                    f"{path} has no column '{roles[role]}' for the {role}; it has {', '.join(names).lower()}."
                )
            usual = {"path": PATH_COLUMNS, "label": LABEL_COLUMNS}.get(role, (role,))
            if column := named or next((name for name in usual if name in table), ""):
                columns[role] = column
        if "path" not in columns:
            return None
        stripped = {name: [text.strip() for text in texts] for name, texts in table.items()}
        clean = {
            name: ["" if text.lower() in NOTHING else text for text in texts]
            for name, texts in stripped.items()
        }
        cells: dict[str, Sequence[str]] = {role: clean[column] for role, column in columns.items()}
        unsaid, flag = 0, ""
        one_hot: tuple[str, ...] = ()
        if "label" in columns:
            unsaid = sum(
                not cell and bool(text.strip())
                for cell, text in zip(cells["label"], table[columns["label"]], strict=True)
            )
        elif labelled:
            free = [name for name in names if name.lower() not in {*columns.values(), *FLAGS}]
            binary = {name: [cell.lower() for cell in clean[name.lower()]] for name in free}
            binary = {name: column for name, column in binary.items() if {*column} <= _TRUE | _FALSE - {""}}
            marked = [
                [n for n, cell in zip(binary, row, strict=True) if cell in _TRUE]
                for row in zip(*binary.values(), strict=True)
            ]
            if len(binary) < 2 or {len(row) for row in marked} != {1}:
                return None
            one_hot, cells["label"] = tuple(binary), [name for (name,) in marked]
        if "split" not in columns and (flag := next((name for name in FLAGS if name in table), "")):
            said = {**dict.fromkeys(_TRUE, FLAGS[flag]), **dict.fromkeys(_FALSE, "train")}
            cells["split"] = [said.get(cell.lower(), cell.lower()) for cell in clean[flag]]
        nothing = [""] * len(lines)
        cells = {role: cells.get(role, nothing) for role in (*ROLES, *roles)}
        return cls(path, lines, columns, table[columns["path"]], cells, unsaid, one_hot, flag)

    def base(self, bases: Sequence[Path]) -> Path | None:
        """The first folder below which any of the pictures exists."""
        named = [picture for picture in self.pictures if picture.strip()]
        return next(
            (base for base in bases if any((base / relative(base, name)).is_file() for name in named)), None
        )


def read_manifest(
    path: Path,
    *,
    root: Path | None = None,
    columns: Mapping[str, str] = {},
    label_of: Callable[[str], str] | None = None,
    notes: list[str] | None = None,
) -> Catalog:
    """Read a table of pictures.

    Classes are sorted by name, or by number when every class (or every class_id) is a number. A row without
    a label is unlabelled. Relative paths are resolved against the table's folder, or, when nothing is found
    there, ``root``. When no picture exists as it is written, they are looked for by name below these folders.

    Args:
        path: the table.
        root: the data folder when it is not the table's own.
        columns: {role: column} where the columns' names do not say it, and for each attribute that is read.
        label_of: the rule that names a picture's class by its path, instead of a column.
        notes: gets a sentence for everything that was decided.

    Raises:
        DataError: no such file, missing columns, an unknown split, class with two ids, or no picture exists.
    """
    table = PictureTable.read(path, columns, labelled=label_of is None)
    if table is None:
        raise DataError(_no_manifest(path))
    if not table.lines:
        raise DataError(f"{path} has a header but no rows; list at least one picture.")
    notes = [] if notes is None else notes
    base, by_name = _places(table, root, notes)
    pictures = [by_name.get(text) or relative(base, text) for text in table.pictures]
    if "" in pictures:
        line = table.lines[pictures.index("")]
        raise DataError(
            f"{path}, line {line}: the {table.columns['path']} is empty; name a picture or remove the row."
        )
    said = table.cells["label"] if label_of is None else [label_of(picture).strip() for picture in pictures]
    labels = [composed(label) for label in said]
    if label_of is None:
        if table.unsaid:
            notes.append(
                f"{table.unsaid} rows hold no label (NaN or the like); those pictures are unlabelled."
            )
        if table.one_hot:
            notes.append(f"The columns {', '.join(table.one_hot)} hold 0 and 1 and are the classes.")
        decimal = [_WHOLE.sub(r"\1", label) for label in labels]
        if decimal != labels and all(not label or label.isdecimal() for label in decimal):
            notes.append("Labels are written as decimal numbers and read as whole ones (0.0 as 0).")
            labels = decimal
    if table.flag:
        notes.append(
            f"The split comes from the column {table.flag}: {FLAGS[table.flag]} where it is true, else train."
        )
    class_of_id: dict[str, str] = {}
    id_of_class: dict[str, str] = {}
    for line, label, number, split in zip(
        table.lines, labels, table.cells["class_id"], table.cells["split"], strict=True
    ):
        if split and not split_of(split):
            raise DataError(f"{path}, line {line}: split '{split}' is none of train, val, test.")
        if not label:
            continue
        class_id = number or label
        known = (id_of_class.setdefault(label, class_id), class_of_id.setdefault(class_id, label))
        if known != (class_id, label):
            raise DataError(
                f"{path}, line {line}: class '{label}' with class_id '{class_id}' contradicts "
                "an earlier row; each class needs one id of its own."
            )
    classes = sorted_classes(id_of_class)
    index = {name: i for i, name in enumerate(classes)}
    attributes = [role for role in columns if role.startswith(ATTRIBUTE_ROLE)]
    samples = tuple(
        Sample(
            picture,
            index.get(label, UNLABELLED),
            split_of(split),
            mask
            if not mask or mask.partition(":")[0].partition("[")[0] in READERS
            else f"png:{relative(base, mask)}",
            composed(group),
            tuple(composed(table.cells[role][row]) for role in attributes),
        )
        for row, (picture, label, split, mask, group) in enumerate(
            zip(pictures, labels, *(table.cells[role] for role in ("split", "mask", "group")), strict=True)
        )
    )
    joined = [
        name for name in classes if {part.strip() for part in re.split(r"[,;|]", name)} & {*classes} - {name}
    ]
    if joined:
        notes.append(
            f"{len(joined)} labels join several names, for example '{joined[0]}'; a picture has one class here, so "
            "each such label is a class of its own. If that is not meant, keep one name a row."
        )
    names = tuple(role.removeprefix(ATTRIBUTE_ROLE) for role in attributes)
    return Catalog(base, tuple(classes), samples, tuple(id_of_class[name] for name in classes), names)


def _no_manifest(path: Path) -> str:
    names, _, _ = read_columns(path)
    if any((path.parent / relative(path.parent, name)).is_file() for name in names if name):
        return (
            f"{path} has no line of column names: its first line is already a picture ({', '.join(names)}); "
            "put a line such as path,label above it."
        )
    return (
        f"{path} has the columns {', '.join(names).lower() or '(none)'}; it needs a path "
        f"({', '.join(PATH_COLUMNS[:5])} ...) and a label ({', '.join(LABEL_COLUMNS[:5])} ...), and may have split, "
        "mask, group, class_id. If they are called otherwise, say so, as --columns path=image_id,label=dx."
    )


def sorted_classes(id_of_class: dict[str, str]) -> list[str]:
    """Class names by id number when every id is one, else alphabetically."""
    if all(class_id.isascii() and class_id.isdigit() for class_id in id_of_class.values()):
        return sorted(id_of_class, key=lambda name: (int(id_of_class[name]), id_of_class[name]))
    return sorted(id_of_class)


def _places(table: PictureTable, root: Path | None, notes: list[str]) -> tuple[Path, dict[str, str]]:
    """The folder that relative paths start from, and {path as written: picture} when they had to be looked for."""
    own = Path(os.path.abspath(table.path.parent))
    bases = [own] if root is None or root == own else [own, root]
    base = table.base(bases)
    if base is not None:
        return base, {}
    pictures = table.pictures
    for base in bases:
        found = _by_name(scan(base).pictures, pictures)
        if 2 * len(found) > len(set(pictures)):
            example = next(iter(found))
            notes.append(
                f"No path of {table.path.name} exists as it is written ('{example}'), so the pictures were found by "
                f"their names, as {found[example]}."
            )
            return base, found
    raise DataError(
        f"None of the {len(pictures)} pictures of {table.path} exists, for example {pictures[0]!r} (looked in "
        f"{' and '.join(map(str, bases))}, also by name alone); paths start at the table's folder."
    )


def _by_name(pictures: Iterable[str], texts: Iterable[str]) -> dict[str, str]:
    """{text: the one picture of that file name, with or without suffix}; among several, of most folders in common."""
    index: dict[str, list[list[str]]] = defaultdict(list)
    for picture in pictures:
        *folders, name = picture.casefold().split("/")
        for key in {name, os.path.splitext(name)[0]}:
            index[key].append([picture, *folders])
    found = {}
    for text in texts:
        *folders, name = text.strip().replace("\\", "/").casefold().split("/")
        matches: dict[int, list[str]] = defaultdict(list)
        for picture, *own in index.get(name, ()):
            pairs = zip(reversed(own), reversed(folders), strict=False)
            matches[sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))].append(picture)
        if matches and len(best := matches[max(matches)]) == 1:
            found[text] = best[0]
    return found


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
