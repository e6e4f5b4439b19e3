"""Picture paths -> classes and splits: which folders are splits, which are classes, which hold ids.

Everything here looks at paths only.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from foveate.core.errors import DataError, few
from foveate.data.catalog import composed
from foveate.data.mask_matching import WRAPPERS
from foveate.data.mask_search import TREES
from foveate.data.split_names import fold_folders, is_fold, split_folders, split_of
from foveate.data.table_catalog import sorted_classes

EXPECTED = """Expected one of:
  DATA/<class>/<picture>
  DATA/train/<class>/<picture>, also val/ and test/; test/ may hold loose pictures without labels
  DATA/images/<class>/<picture> with DATA/masks/<class>/<same name>.png
  DATA/<table>.csv with the columns path and label, and optionally split, mask, group
or the class in the picture's path, with --label part:K or --label 'regex:(cat|dog)'"""

NEVER_CLASSES = frozenset({"masks", "segmentations", "trimaps"})
"""Lower-case folder names that are no classes without asking: a mask tree that fits no picture, most likely."""

_ID_AND_NAME = re.compile(r"(\d+)[ _.-]+(.+)", re.ASCII | re.DOTALL)

FEW = 5
"""Names that a sentence lists."""

LabelOf = Callable[[str], str]
"""{picture path: class, or ""}"""

Placed = dict[str, tuple[str, str]]
"""{picture path: (class folder or "", split or "")}"""


@dataclass(frozen=True)
class Base:
    """A folder whose subfolders are classes."""

    prefix: str
    """"" or a path that ends with a slash."""
    split: str
    fold: str = ""
    """The fold of a cross-validation that the folder is, by its name."""

    @property
    def name(self) -> str:
        """The folder's own name, in lower case."""
        return self.prefix[:-1].rpartition("/")[2].lower()


@dataclass(frozen=True)
class ClassTable:
    """Class folders in label order."""

    classes: tuple[str, ...]
    class_ids: tuple[str, ...]
    index: dict[str, int]
    """{folder: label}"""
    reason: str
    """How they are ordered, and why."""


def class_table(folders: Sequence[str]) -> ClassTable:
    """Names, ids and order of class folders.

    ``<id>_<name>`` (also ``.``, ``-``, space) in every folder gives ids and names, ordered by id; all
    numbers are ordered as numbers; otherwise alphabetically. Names that differ in their Unicode form only (as macOS
    and Linux write an accent) are one class.
    """
    own, folders = folders, sorted({composed(folder) for folder in folders})
    matches = {folder: _ID_AND_NAME.fullmatch(folder) for folder in folders}
    pairs = {folder: (match[1], match[2]) for folder, match in matches.items() if match}
    if (
        len(pairs) == len(folders)
        and len({int(number) for number, _ in pairs.values()}) == len(folders)
        and len({name for _, name in pairs.values()}) == len(folders)
    ):
        order = sorted(folders, key=lambda folder: int(pairs[folder][0]))
        ids, names = zip(*(pairs[folder] for folder in order), strict=True)
        reason = f"sorted by the id in their folder names ({ids[0]} to {ids[-1]}), which predictions carry"
    else:
        order = sorted_classes({folder: folder for folder in folders})
        ids = names = tuple(order)
        reason = "sorted by number" if order != sorted(folders) else "sorted alphabetically"
    number = {folder: i for i, folder in enumerate(order)}
    return ClassTable(names, ids, {folder: number[composed(folder)] for folder in own}, reason)


def below(paths: Iterable[str], prefix: str) -> Iterator[tuple[str, str]]:
    """(path, what remains of it below ``prefix``) of those that lie there."""
    return ((path, path[len(prefix) :]) for path in paths if path.startswith(prefix))


def tops(pictures: Iterable[str], prefix: str = "") -> list[str]:
    """Names of the folders directly below ``prefix`` that hold pictures, at any depth."""
    return sorted({rest.split("/", 1)[0] for _, rest in below(pictures, prefix) if "/" in rest})


def only_folder(pictures: Sequence[str]) -> str | None:
    """The single folder that holds all pictures, when classes or splits lie in it (an unpacked archive)."""
    names = tops(pictures)
    if len(names) != 1 or _said(names[0]) or any("/" not in path for path in pictures):
        return None
    inside = tops(pictures, f"{names[0]}/")
    return names[0] if len(inside) >= 2 or any(map(_said, inside)) else None


def _said(name: str) -> bool:
    """Whether a folder's name says that it is no class."""
    return name.lower() in WRAPPERS or bool(split_of(name))


def _unwrap(pictures: Sequence[str], prefix: str) -> str:
    """``prefix``, or the one folder in it that holds all its pictures: ``images/``, or of the same name again."""
    names = tops(pictures, prefix)
    inner = len(names) == 1 and (names[0].lower() in WRAPPERS or names == prefix.split("/")[-2:-1])
    return f"{prefix}{names[0]}/" if inner else prefix


def find_bases(
    data: Path, pictures: Sequence[str], notes: list[str], label_of: LabelOf | None = None
) -> list[Base]:
    """Where the class folders are: one place, or one for each folder that is a split or a fold.

    Args:
        label_of: the rule that names a picture's class, when one was given; then folders are splits or folds only
            where that is certain and the rule does not call a class so.

    Raises:
        DataError: such folders lie beside others.
    """
    prefix = _unwrap(pictures, "")
    names = tops(pictures, prefix)
    splits, folds = split_folders(names), fold_folders(names)
    others = [name for name in names if name not in splits and name not in folds]
    if label_of is not None and (others or not names or {label_of(path) for path in pictures} & {*names}):
        return [Base("", "")]
    if others and (splits or folds):
        raise DataError(
            f"{data} has the folders {', '.join([*splits, *folds])} (splits or folds, by their names) beside "
            f"{', '.join(others[:5])}, so it is not clear what the classes are. If all of them are classes, say so "
            f"with --label part:{prefix.count('/') + 1}; else move one kind away, or list the pictures in a table.\n"
            f"{EXPECTED}"
        )
    bases = [Base(f"{prefix}{name}/", split) for name, split in splits.items()]
    bases += [Base(f"{prefix}{name}/", "", name) for name in folds]
    renamed = [
        f"{base.prefix} is read as {base.split}" for base in bases if base.split not in ("", base.name)
    ]
    notes += [f"{', '.join(renamed)}."] if renamed else []
    found = []
    for base in bases or [Base(prefix, "")]:
        names = tops(pictures, base.prefix)
        folds = [] if base.fold or fold_folders(names) != names else names
        found += [Base(f"{base.prefix}{name}/", base.split, name) for name in folds] or [base]
    folded = [base for base in found if base.fold]
    if folded:
        notes.append(
            f"{', '.join(base.prefix for base in folded)} are read as folds, not as classes: the pictures of one stay "
            f"together, unless other groups are given; split --folds {len({base.fold for base in folded})} takes them "
            "as they are."
        )
    return [replace(base, prefix=_unwrap(pictures, base.prefix)) for base in found]


def refuse_mask_trees(data: Path, pictures: Sequence[str], prefix: str) -> None:
    """Raise a DataError when a folder in the place of a class holds masks, by its name or as it mirrors ``images``."""
    names = tops(pictures, prefix)
    tree = next((name for name in names if name.lower() in NEVER_CLASSES), None)
    if tree is not None:
        raise DataError(
            f"{prefix}{tree}/ in {data} looks like a mask tree, but its files match no picture; it must "
            "mirror the pictures (masks/<class>/<stem>.png). Name it (--masks), move it away, or say "
            "--masks none if it is a class."
        )
    wrapper = next((name for name in names if name.lower() in WRAPPERS), None)
    if wrapper is None:
        return
    stems: dict[str, set[str]] = defaultdict(set)
    for _, rest in below(pictures, prefix):
        top, slash, inner = rest.partition("/")
        if slash:
            stems[top].add(os.path.splitext(inner)[0])
    if not any("/" in inner for inner in stems[wrapper]):
        return  # it holds pictures itself, so it wraps no class folders: a class of that name
    for name in names:
        if name != wrapper and 2 * len(stems[name] & stems[wrapper]) > len(stems[name]):
            raise DataError(
                f"{prefix}{name}/ in {data} mirrors {prefix}{wrapper}/; if it holds masks, name it "
                f"(--masks {prefix}{name}), else move it away, or say --masks none if both are classes."
            )


def place(
    pictures: Sequence[str], bases: Sequence[Base], notes: list[str], label_of: LabelOf | None = None
) -> Placed:
    """Class folder and split of each picture; without splits, pictures outside class folders are left out.

    Args:
        label_of: the rule that names a picture's class instead; it may find none for pictures of val and test.

    Raises:
        DataError: the rule finds no class for another picture.
    """
    placed: Placed = {}
    unnamed = []
    for base in bases:
        for path, rest in below(pictures, base.prefix):
            folder, slash, _ = rest.partition("/")
            label = composed((folder if slash else "") if label_of is None else label_of(path).strip())
            if label or (base.split and (label_of is None or base.split != "train")):
                placed[path] = (label, base.split)
            elif label_of is not None:
                unnamed.append(path)
    if unnamed:
        raise DataError(
            f"The label rule finds no class in {len(unnamed)} of {len(pictures)} paths, for example {unnamed[0]}; mend "
            "it, or move the files away."
        )
    if label_of is not None:
        return placed
    _splits_below_classes(placed, bases, notes)
    trained = {folder for folder, split in placed.values() if split == "train"}
    for base in bases:
        names = [composed(name) for name in tops(pictures, base.prefix)]
        if trained and base.split in ("val", "test") and len(names) == 1 and names[0] not in trained:
            notes.append(
                f"{base.prefix}{names[0]}/ is no class of train, so its pictures count as unlabelled."
            )
            placed |= {path: ("", base.split) for path, _ in below(pictures, base.prefix)}
    return placed


def _splits_below_classes(placed: Placed, bases: Sequence[Base], notes: list[str]) -> None:
    """``rose/train/1.jpg``: when every class folder is divided into splits, they are the splits."""
    if len(bases) > 1 or bases[0].split:
        return
    inner = {path: rest.split("/")[1:-1] for path, rest in below(placed, bases[0].prefix)}
    names = {folders[0] if folders else "" for folders in inner.values()}
    splits = split_folders(names)
    if len(splits) == len(names) and "train" in splits.values() and len(set(splits.values())) > 1:
        placed |= {path: (folder, splits[inner[path][0]]) for path, (folder, _) in placed.items()}
        notes.append(
            f"Each class folder is divided into {', '.join(sorted(names))}, which are read as splits."
        )


def layout_notes(placed: Placed, pictures: Sequence[str], by_rule: bool) -> list[str]:
    """Sentences on what is unlabelled, left out or odd."""
    notes = []
    loose = Counter(split for folder, split in placed.values() if not folder)
    for split, count in loose.items():
        why = "give the label rule no class" if by_rule else "lie in no class folder"
        notes.append(f"{count} pictures of {split} {why}; they are unlabelled.")
    left = [path for path in pictures if path not in placed]
    if left:
        notes.append(f"{len(left)} pictures lie in no class folder and are left out, for example {left[0]}.")
    folders: dict[str, set[str]] = defaultdict(set)
    for folder, split in placed.values():
        if folder:
            folders[folder].add(split)
    untrained = sorted(folder for folder, splits in folders.items() if splits.isdisjoint({"train", ""}))
    if untrained and any("train" in splits for splits in folders.values()):
        notes.append(f"These classes have no picture in train: {', '.join(untrained)}.")
    return notes


def depth_notes(placed: Placed, bases: Sequence[Base]) -> list[str]:
    """Sentences on pictures that lie deeper than right below their class folder."""
    deep: dict[str, set[str]] = defaultdict(set)
    count, example, level = 0, "", 0
    for base in bases:
        for path, rest in below(placed, base.prefix):
            folder = placed[path][0]
            named = [part for part in rest.split("/")[1:-1] if not _said(part)]
            if folder and named:
                deep[folder].add(named[0])
                count += 1
                example, level = example or path, base.prefix.count("/") + 1
    if not deep:
        return []
    first = sorted({folder for folder, _ in placed.values() if folder})
    text = (
        f"{count} of {len(placed)} pictures lie deeper than their class folder, for example {example}: the first "
        f"folder ({few(first, FEW)}) is taken as the class."
    )
    shared = set.intersection(*deep.values()) if len(deep) == len(first) > 1 else set()
    if len(shared) > 1:
        text += f" But they hold folders of the same names ({few(sorted(shared), FEW)}), as copies of one set do; then "
        text += "give one of them as DATA."
    return [
        f"{text} To take the next folder, add --label part:{level + 1}; the folder a picture lies in: part:-2."
    ]


def spelling_notes(what: str, names: Iterable[str]) -> list[str]:
    """A sentence when names differ in case or spaces only."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in names:
        spellings["".join(name.casefold().split())].add(name)
    twice = [sorted(same) for same in spellings.values() if len(same) > 1]
    if not twice:
        return []
    listed = few(sorted(" and ".join(same) for same in twice), FEW)
    return [f"These {what} differ in upper and lower case or spaces only: {listed}."]


def empty_folders(
    folders: Iterable[str], pictures: Sequence[str], bases: Sequence[Base], masks: Iterable[str]
) -> tuple[str, ...]:
    """Names of folders in the place of a class that hold no picture in any split."""
    classes = {name for base in bases for name in tops(pictures, base.prefix)}
    empty = set()
    for base in bases:
        mask_folders = tops(masks, base.prefix)
        for _, name in below(folders, base.prefix):
            known = name.lower() in TREES or split_of(name) or is_fold(name) or name in classes
            if "/" not in name and not known and name not in mask_folders:
                empty.add(name)
    return tuple(sorted(empty))
