"""A CSV table of pictures -> Catalog.

Needed columns: a path (path, file, filename, image ...) and a label (label, class, species ...; or one column of 0 and
1 for each class). Optional: split (or is_valid, is_test), mask (a path or a mask reference), group, class_id. Case does
not matter; comma, semicolon or tab separates.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from foveate.core.errors import DataError
from foveate.data.annotations import READERS
from foveate.data.catalog import UNLABELLED, Catalog, Sample, composed
from foveate.data.layout_settings import ATTRIBUTE_ROLE
from foveate.data.listing import scan
from foveate.data.picture_table import FLAGS, LABEL_COLUMNS, PATH_COLUMNS, PictureTable, read_rows, relative
from foveate.data.split_names import split_of

_WHOLE = re.compile(r"(\d+)\.0+", re.ASCII)


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
    if not table.rows:
        raise DataError(f"{path} has a header but no rows; list at least one picture.")
    notes = [] if notes is None else notes
    base, by_name = _places(table, root, notes)
    class_of_id: dict[str, str] = {}
    id_of_class: dict[str, str] = {}
    parsed = []
    attributes = [role for role in columns if role.startswith(ATTRIBUTE_ROLE)]
    labels = [table.label(row) for _, row in table.rows] if label_of is None else []
    whole = bool(labels) and all(
        not label or label.isdecimal() or _WHOLE.fullmatch(label) for label in labels
    )
    nothing = 0
    for number, (line, row) in enumerate(table.rows):
        text = table.text(row, "path")
        picture = by_name.get(text) or relative(base, text)
        if not picture:
            raise DataError(
                f"{path}, line {line}: the {table.columns['path']} is empty; name a picture or remove the row."
            )
        label = labels[number] if label_of is None else composed(label_of(picture).strip())
        nothing += label_of is None and not label and bool(table.text(row, "label").strip())
        if whole and (match := _WHOLE.fullmatch(label)):
            label = match[1]
        class_id = table.cell(row, "class_id")
        split = table.split(row)
        if split and not split_of(split):
            raise DataError(f"{path}, line {line}: split '{split}' is none of train, val, test.")
        if label:
            class_id = class_id or label
            known = (id_of_class.setdefault(label, class_id), class_of_id.setdefault(class_id, label))
            if known != (class_id, label):
                raise DataError(
                    f"{path}, line {line}: class '{label}' with class_id '{class_id}' contradicts "
                    "an earlier row; each class needs one id of its own."
                )
        mask = _mask(base, table.cell(row, "mask"))
        more = tuple(composed(table.cell(row, role)) for role in attributes)
        group = composed(table.cell(row, "group"))
        parsed.append((label, Sample(picture, UNLABELLED, split_of(split), mask, group, more)))
    classes = sorted_classes(id_of_class)
    index = {name: i for i, name in enumerate(classes)}
    samples = tuple(replace(sample, label=index.get(label, UNLABELLED)) for label, sample in parsed)
    if nothing:
        notes.append(f"{nothing} rows hold no label (NaN or the like); those pictures are unlabelled.")
    notes += _label_notes(table, labels, classes, whole)
    names = tuple(role.removeprefix(ATTRIBUTE_ROLE) for role in attributes)
    return Catalog(base, tuple(classes), samples, tuple(id_of_class[name] for name in classes), names)


def _label_notes(
    table: PictureTable, labels: Sequence[str], classes: Sequence[str], whole: bool
) -> list[str]:
    notes = []
    if table.one_hot:
        notes.append(f"The columns {', '.join(table.one_hot)} hold 0 and 1 and are the classes.")
    if table.flag:
        notes.append(
            f"The split comes from the column {table.flag}: {FLAGS[table.flag]} where it is true, else train."
        )
    if whole and any("." in label for label in labels):
        notes.append("Labels are written as decimal numbers and read as whole ones (0.0 as 0).")
    joined = [
        name for name in classes if {part.strip() for part in re.split(r"[,;|]", name)} & {*classes} - {name}
    ]
    if joined:
        notes.append(
            f"{len(joined)} labels join several names, for example '{joined[0]}'; a picture has one class here, so "
            "each such label is a class of its own. If that is not meant, keep one name a row."
        )
    return notes


def _no_manifest(path: Path) -> str:
    names, _ = read_rows(path)
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
    pictures = [table.text(row, "path") for _, row in table.rows]
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


def _mask(base: Path, text: str) -> str:
    kind = text.partition(":")[0].partition("[")[0]
    return text if not text or kind in READERS else f"png:{relative(base, text)}"
