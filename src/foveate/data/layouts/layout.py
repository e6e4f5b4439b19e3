"""What all published layouts share: how they are recognised, how their lists are read, and what is checked of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foveate.core.errors import DataError, few, first_line, shown
from foveate.core.reading import read_text
from foveate.data.annotations.picture_masks import SEPARATOR
from foveate.data.catalog import UNLABELLED, Catalog, Sample, composed
from foveate.data.mask_matching import stem
from foveate.data.shapes import Box

DEEPEST = 3
"""Folders below the data folder in which a layout is looked for."""
FEW = 3
"""Pictures that a sentence lists."""


@dataclass(frozen=True)
class Row:
    """A picture as the lists say."""

    where: str
    """The list and the line, for messages."""
    path: str
    """Relative to the layout's folder."""
    label: int = UNLABELLED
    split: str = ""
    mask: str = ""
    """A mask reference; "" when there is none."""
    group: str = ""


@dataclass(frozen=True)
class Published:
    """What the lists of a layout say."""

    classes: Sequence[str]
    rows: Sequence[Row]
    class_ids: Sequence[str] = ()
    notes: Sequence[str] = ()
    root: Path | None = None
    """Where the pictures lie, when not in the layout's folder."""


@dataclass(frozen=True)
class Folder:
    """The folder that a layout was found in, and what lies in it."""

    root: Path
    pictures: frozenset[str]
    """Relative to ``root``; what lies beside it in the data folder begins with ``../``."""
    others: frozenset[str]
    """All other files."""

    def by_stem(self, *folders: str) -> dict[str, str]:
        """{path below the folder without suffix: picture} of the first folder that holds any."""
        for name in folders:
            found = {stem(path[len(name) :]): path for path in self.pictures if path.startswith(name)}
            if found:
                return found
        return {}

    def lines(self, name: str, cells: int = 1) -> Iterator[tuple[str, list[str]]]:
        """(the list and line, its cells) of each line that is neither empty nor a comment; the last cell may hold
        spaces. A DataError where there are fewer cells."""
        for number, line in enumerate(read_text(self.root / name).splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            words, where = line.rstrip().split(maxsplit=cells - 1), f"{self.root / name}, line {number}"
            if len(words) < cells:
                raise DataError(
                    f"{where}: {len(words)} of {cells} cells ({shown(line)}); fetch the list again."
                )
            yield where, words

    def table(
        self, name: str, cells: int, ids: Iterable[str] | None = None
    ) -> dict[str, tuple[str, list[str]]]:
        """{id: (the list and line, further cells)} of a list whose lines begin with an id. A DataError where one stands
        twice, or where they are not ``ids``."""
        table: dict[str, tuple[str, list[str]]] = {}
        wanted = None if ids is None else dict.fromkeys(ids)
        for where, (key, *rest) in self.lines(name, cells):
            if key in table:
                raise DataError(f"{where}: {key} is listed twice; keep one line.")
            if wanted is not None and key not in wanted:
                raise DataError(f"{where}: {key} is no id of images.txt; fetch the lists again.")
            table[key] = (where, rest)
        missing = [key for key in wanted or () if key not in table]
        if missing:
            raise DataError(
                f"{self.root / name} lacks {few(missing, FEW)} of images.txt; fetch the lists again."
            )
        return table

    def mat(self, name: str, *variables: str) -> list[np.ndarray]:
        """Variables of a MATLAB file, each at least 1-d. A DataError where it is missing, damaged, or lacks one."""
        from scipy.io import (
            loadmat,  # few sets have such files, and every command that reads pictures comes here
        )

        file = self.root / name
        if not file.is_file():
            raise DataError(f"{file} is missing, which belongs to this data set; fetch it again.")
        try:
            found = loadmat(file, squeeze_me=True, appendmat=False, variable_names=variables)
            return [np.atleast_1d(found[variable]) for variable in variables]
        except KeyError as error:
            raise DataError(f"{file} has no variable {error}; fetch it again.") from None
        except MemoryError:
            raise
        except Exception as error:  # on damaged files scipy raises nearly every built-in exception
            raise DataError(f"{file} is no MATLAB file that can be read: {first_line(error)}.") from error


class Layout:
    """A data set as its authors publish it. A new one is a subclass in its own file and a line in ``DATA_SETS``."""

    name: ClassVar[str]
    marks: ClassVar[Sequence[Sequence[str]]]
    """Files, or folders with a slash at the end, that lie there together; several ways in which it is published."""
    labels: ClassVar[Sequence[str]] = ()
    """What the classes may be (``--label column:NAME``), the usual one first; () where there is no choice."""
    torchvision: ClassVar[str] = ""
    """The class in torchvision.datasets that fetches it."""
    page: ClassVar[str] = ""
    """Where its authors tell of it."""
    licence: ClassVar[str] = ""

    def places(self, there: frozenset[str]) -> list[str]:
        """Where it lies below a folder, "" or a path that ends with a slash; ``there``: files, and folders with a
        slash."""
        found = set()
        for marks in self.marks:
            tails = (path.removesuffix(marks[0]) for path in there if path.endswith(marks[0]))
            found |= {
                prefix
                for prefix in tails
                if (not prefix or prefix.endswith("/"))
                and prefix.count("/") <= DEEPEST
                and all(prefix + mark in there for mark in marks)
            }
        return sorted(found)

    def choices(self, folder: Folder) -> Sequence[str]:
        """``labels`` of the set that lies there."""
        return self.labels

    def read(self, folder: Folder, label: str) -> Published:
        """What the lists say; ``label``: which of ``choices`` the classes are, "" for the usual one.

        Raises:
            DataError: a list is damaged or contradicts another.
        """
        raise NotImplementedError


def number_of(where: str, text: Any, count: int, *, what: str = "class", first: int = 1) -> int:
    """One of ``count`` ids from ``first`` on -> an index from 0; a DataError that begins with ``where`` for others."""
    whole = isinstance(text, np.floating) and text.is_integer()
    value = str(int(text) if whole else text)
    if not (value.isascii() and value.isdigit() and first <= int(value) < first + count):
        raise DataError(
            f"{where}: {what} {shown(value)} is none of the {count} from {first} on; fetch the lists again."
        )
    return int(value) - first


def label_of(where: str, name: str, index: Mapping[str, int], file: str) -> int:
    """The label of a class; a DataError where it is none of those that ``file`` lists."""
    if name not in index:
        raise DataError(
            f"{where}: class {shown(name)} is none of the {len(index)} in {file}; fetch the lists again."
        )
    return index[name]


def box_of(where: str, edges: Sequence[Any], *, sized: bool = False, first: int = 0) -> str:
    """A mask reference of a box: left, top, right, bottom; or, ``sized``, left, top, width, height.

    Where pixels count from ``first`` 1, both edges belong to the box, else the far ones do not. A DataError where it
    has no area.
    """
    try:
        left, top, right, bottom = (float(edge) for edge in edges)
        if sized:
            right, bottom = left + right, top + bottom
        box = Box((left - first, top - first, right, bottom))
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {first_line(error)}; mend the box, or fetch the list again.") from None
    return "box:" + ",".join(f"{edge:.10g}" for edge in box.extent)


def names_by_id(pairs: Iterable[tuple[str, object, str]]) -> tuple[list[str], list[int]]:
    """Class names in the order of their ids, and the label of each picture, of (list and line, id, name). A DataError
    where an id is beyond the number of names, or has two names."""
    pairs = list(pairs)
    count = len({name for _, _, name in pairs})
    labels = [number_of(where, text, count) for where, text, _ in pairs]
    names: dict[int, str] = {}
    for label, (where, _, name) in zip(labels, pairs, strict=True):
        if names.setdefault(label, name) != name:
            raise DataError(
                f"{where}: class {label + 1} is {name} here and {names[label]} before; mend the list."
            )
    return [names[label] for label in sorted(names)], labels


def catalog_of(layout: Layout, folder: Folder, published: Published) -> tuple[Catalog, list[str]]:
    """The catalog of what was read, sorted by path, and sentences: first the one that says what was recognised.

    Raises:
        DataError: a picture is listed twice, or no picture exists.
    """
    rows, root = sorted(published.rows, key=lambda row: row.path), published.root or folder.root
    for one, other in pairwise(rows):
        if one.path == other.path:
            raise DataError(f"{one.path} is listed twice: {one.where}, and {other.where}; keep one.")
    missing = [row.path for row in rows if published.root is None and row.path not in folder.pictures]
    if len(missing) == len(rows):
        raise DataError(
            f"{root} has the lists of {layout.name} but none of their {len(missing)} pictures"
            f"{f', for example {missing[0]}' if missing else ''}; unpack the archive of the pictures there."
        )
    samples = tuple(Sample(row.path, row.label, row.split, row.mask, row.group) for row in rows)
    catalog = Catalog(root, tuple(map(composed, published.classes)), samples, tuple(published.class_ids))
    notes = [_summary(layout, catalog), *published.notes]
    if missing:
        notes.append(f"{len(missing)} listed pictures do not exist, for example {missing[0]}.")
    used = {path for row in rows for path in (row.path, *row.mask.partition(":")[2].split(SEPARATOR))}
    tops = {"..", *(row.path.split("/")[0] for row in rows if "/" in row.path and published.root is None)}
    left = sorted(path for path in folder.pictures - used if path.split("/")[0] in tops)
    if left:
        notes.append(f"{len(left)} pictures are in no list and are left out, for example {left[0]}.")
    return catalog, notes


def _summary(layout: Layout, catalog: Catalog) -> str:
    parts = {split: len(catalog.indices(split, labelled=False)) for split in ("train", "val", "test")}
    splits = ", ".join(f"{split} {count}" for split, count in parts.items() if count)
    masks = Counter(sample.mask.split(":")[0] for sample in catalog.samples if sample.mask)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(masks.items()))
    return (
        f"Recognised as {layout.name}: {len(catalog)} pictures, {len(catalog.classes)} classes; "
        f"{f'split as published: {splits}' if splits else 'no split of its own'}; masks: {kinds or 'none'}."
    )
