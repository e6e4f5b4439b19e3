"""Labels that were corrected in another program or in a table: read, matched to pictures, laid over the data set.

Nothing is moved: the outcome is a table of all pictures, which every command reads in place of the folder.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foveate.core.errors import ConfigError, DataError, shown
from foveate.core.files import write_csv
from foveate.core.reading import parse_json, read_text
from foveate.data.annotations.documents import read_json
from foveate.data.annotations.labelstudio import Task, picture_named
from foveate.data.catalog import UNLABELLED, Catalog, composed
from foveate.data.listing import scan
from foveate.data.mask_matching import UPLOADED, Lookup
from foveate.data.mask_search import TREES
from foveate.data.table_catalog import PATH_COLUMNS, SUFFIXES, read_columns, read_manifest, relative

CORRECTED = "corrected"
"""The column, or field, that is taken where nothing else is said."""
Answers = dict[str, list[str]]
"""{control, field or column: the classes that were chosen}"""


@dataclass(frozen=True)
class Corrections:
    """What a file of corrected labels says about the pictures of a data set."""

    labels: Mapping[str, str]
    """{picture: class}, as far as both are known."""
    left: Mapping[str, str]
    """{picture as the file names it: why its label cannot be applied}."""
    by_name: int
    """Pictures that were found by their file name alone, not by their path."""


def read_corrections(path: Path, field: str = "") -> dict[str, list[str]]:
    """{picture as the file names it: the different classes that were chosen for it}, in the file's order.

    Args:
        path: Label Studio's JSON or JSON-MIN, FiftyOne's samples.json, or a table with a path and the column.
        field: the control, field or column; "" = ``corrected``, or the only one that there is.

    Raises:
        DataError: the file is none of these, or malformed. ConfigError: no such field, or several.
    """
    if path.suffix.lower() in SUFFIXES:
        told = _of_table(path, field)
    elif (text := read_text(path)).lstrip().startswith("["):
        told = _of_label_studio(path)
    else:
        told = _of_fiftyone(path, parse_json(text, dict, str(path), DataError))
    names = list(dict.fromkeys(name for _, answers in told for name in answers))
    if not names:
        raise DataError(f"{path} holds no corrected label; correct some, and export again.")
    chosen = field or (CORRECTED if CORRECTED in names else names[0])
    if chosen not in names or (len(names) > 1 and chosen != (field or CORRECTED)):
        raise ConfigError(f"{path} has labels in {', '.join(names)}; name the one that counts, with --field.")
    found: dict[str, list[str]] = {}
    for name, answers in told:
        if chosen in answers:
            found[name] = list(
                dict.fromkeys([*found.get(name, []), *filter(None, map(str.strip, answers[chosen]))])
            )
    return {name: labels for name, labels in found.items() if labels}


def _of_table(path: Path, field: str) -> list[tuple[str, Answers]]:
    names, _, columns = read_columns(path)
    place = next((name for name in PATH_COLUMNS if name in columns), None)
    column = (field or CORRECTED).lower()
    if place is None or column not in columns:
        raise DataError(
            f"{path} has the columns {', '.join(names).lower()}; it needs one for the path and '{column}', which holds "
            "the right class where another one stands now, and nothing elsewhere (--field names another column)."
        )
    pairs = zip(columns[place], columns[column], strict=True)
    return [(name, {field or CORRECTED: [label]}) for name, label in pairs if label.strip()]


def _of_label_studio(path: Path) -> list[tuple[str, Answers]]:
    try:
        tasks: list[Task] = read_json(path, list[Task])
    except ValueError as error:
        raise DataError(f"{path} is malformed as JSON of Label Studio ({error}).") from None
    told = []
    for task in tasks:
        name = next((text for text in map(picture_named, task.data.values()) if text), "")
        if not name:
            raise DataError(f"{path}: task {task.id} names no picture.")
        answers: dict[str, list[str]] = defaultdict(list)
        for result in (r for a in task.annotations if not a.was_cancelled for r in a.result):
            if result.type == "choices":
                chosen = result.value.get("choices")
                if not isinstance(chosen, list):
                    raise DataError(f"{path}: the choices of task {task.id} are {shown(chosen)}, not a list.")
                answers[result.from_name] += map(str, chosen)
        told.append((name, dict(answers)))
    return told


def _of_fiftyone(path: Path, document: dict[str, object]) -> list[tuple[str, Answers]]:
    samples = document.get("samples")
    if not isinstance(samples, list):
        raise DataError(
            f"{path} is neither JSON of Label Studio (a list of tasks) nor of FiftyOne (samples.json of a "
            "FiftyOneDataset); export as one of these, or give a table."
        )
    told = []
    for number, sample in enumerate(samples, start=1):
        if not isinstance(sample, dict) or not isinstance(sample.get("filepath"), str):
            raise DataError(f"{path}: sample {number} has no filepath.")
        found = {
            name: [str(value.get("label"))]
            for name, value in sample.items()
            if isinstance(value, dict) and value.get("_cls") == "Classification" and value.get("label")
        }
        told.append((sample["filepath"], found))
    return told


def match(catalog: Catalog, said: Mapping[str, Sequence[str]], *, new_classes: bool = False) -> Corrections:
    """Which picture and which class is meant.

    Args:
        said: of ``read_corrections``.
        new_classes: take classes that the data set does not know.
    """
    finder = _Finder(catalog)
    classes = catalog.class_words
    ids, named = (
        {composed(text): k for k, text in enumerate(v)} for v in (catalog.class_ids, catalog.classes)
    )
    chosen: dict[str, dict[str, str]] = defaultdict(dict)
    left: dict[str, str] = {}
    by_name = 0
    for name, answers in said.items():
        pictures, exact = finder.find(name)
        if len(pictures) != 1:
            left[name] = (
                f"it may be {' or '.join(sorted(pictures)[:3])}; write the folder before its name"
                if pictures
                else f"no picture of {catalog.root} is called so"
            )
        elif len(answers) > 1:
            left[name] = f"it was given several classes ({', '.join(answers)}); leave one"
        elif ids.get(word := composed(answers[0])) is not None and named.get(word, ids[word]) != ids[word]:
            one, other = (f"{catalog.class_ids[k]}_{catalog.classes[k]}" for k in (ids[word], named[word]))
            left[name] = f"'{word}' is the id of one class and the name of another; write {one} or {other}"
        elif word not in classes and not new_classes:
            left[name] = (
                f"{shown(answers[0])} is no class here; mend it, or allow new classes (--new-classes)"
            )
        else:
            number = classes.get(word)
            label = word if number is None else catalog.classes[number]
            chosen[pictures[0]][name] = label
            by_name += not exact
    labels = {}
    for picture, names in chosen.items():
        if len(set(names.values())) == 1:
            labels[picture] = next(iter(names.values()))
        else:
            left |= dict.fromkeys(names, f"{picture} is told twice, with other classes; leave one")
    return Corrections(labels, left, by_name)


class _Finder:
    """Pictures by the names that other programs give them."""

    def __init__(self, catalog: Catalog) -> None:
        self.root = catalog.root
        self.known = {sample.path for sample in catalog.samples}
        self.others = {
            path
            for path in scan(self.root).pictures
            if path not in self.known and not {part.lower() for part in path.split("/")} & TREES.keys()
        }
        self.called = Lookup([*sorted(self.known), *sorted(self.others)]).by_name

    def find(self, text: str) -> tuple[list[str], bool]:
        """The pictures that may be meant, and whether by their path: the one at that place, else those whose folders
        are alike as far as both are known; pictures of the data set before others that lie in its folder."""
        place = relative(self.root, text)
        for path in (place, composed(place)):
            if path in self.known or path in self.others:
                return [path], True
        *folders, last = composed(place).lstrip("/").split("/")
        if folders[:2] == ["data", "upload"]:  # where Label Studio puts what is uploaded
            folders = []
        above = Path(os.path.abspath(self.root)).parts[1:]
        found: dict[str, bool] = {}
        for key in dict.fromkeys((last, UPLOADED.sub("", last))):
            for path in self.called.get(key, ()):
                own = path.split("/")[:-1]
                ends = bool(folders) and [*above, *own][-len(folders) :] == folders
                if not folders or ends or folders[len(folders) - len(own) :] == own:
                    found[path] = ends or bool(folders and own)
        paths = [path for path in found if path in self.known] or list(found)
        return paths, all(found[path] for path in paths)


def changes(catalog: Catalog, labels: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(picture, its class or "", the class that it gets) of pictures whose class changes, sorted."""
    names = (*catalog.classes, "")
    now = {sample.path: names[sample.label] for sample in catalog.samples}
    return sorted(
        (path, now.get(path, ""), label) for path, label in labels.items() if now.get(path) != label
    )


def write_corrected(
    catalog: Catalog, labels: Mapping[str, str], out: Path, splits: Mapping[str, str] | None = None
) -> None:
    """Write a table of all pictures with the corrected labels into the folder that their paths start from.

    Args:
        labels: {picture: class}; pictures that the data set does not list are added.
        splits: {picture: split} to keep.

    Raises:
        ConfigError: the table would lie elsewhere, or over another file.
        DataError: a class has a name that no table can hold.
    """
    if os.path.realpath(out.parent) != os.path.realpath(catalog.root):
        raise ConfigError(
            f"The paths of pictures and masks start at {catalog.root}, so the table belongs there: --out "
            f"{catalog.root / out.name}."
        )
    if out.suffix.lower() != ".csv" or out.exists():
        why = "exists already" if out.exists() else "is no .csv file"
        raise ConfigError(f"{out} {why}; name a new table (--out {catalog.root / 'labels.csv'}).")
    ids = dict(zip(catalog.classes, catalog.class_ids, strict=True))
    rows = []
    for sample in catalog.samples:
        label = labels.get(sample.path, "" if sample.label == UNLABELLED else catalog.classes[sample.label])
        split = (splits or {}).get(sample.path, sample.split)
        known = (split, sample.group, sample.mask, *sample.attributes)
        rows.append((sample.path, label, ids.get(label, label), *known))
    listed = {sample.path for sample in catalog.samples}
    rows += [(path, label, ids.get(label, label)) for path, label in labels.items() if path not in listed]
    header = ("path", "label", "class_id", "split", "group", "mask", *catalog.attributes)
    rows = [row + ("",) * (len(header) - len(row)) for row in sorted(rows)]
    write_csv(out, header, rows)
    try:
        read = read_manifest(out)
        classes = (*read.classes, "")
        for sample, (path, label, *_) in zip(read.samples, rows, strict=True):
            if (sample.path, classes[sample.label]) != (path, label.strip()):
                raise DataError(
                    f"A table cannot hold {path} with the class '{label}': it would be read as {sample.path} with the "
                    f"class '{classes[sample.label]}'; rename the class."
                )
    except DataError:
        out.unlink()
        raise
