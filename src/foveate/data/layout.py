"""Picture paths -> classes and splits: which folders are splits, which are classes, which hold ids.

Everything here looks at paths only.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foveate.core.errors import DataError
from foveate.data.manifest import SPLIT_NAMES, sorted_classes
from foveate.data.masktrees import TREES, WRAPPERS

EXPECTED = """Expected one of:
  DATA/<class>/<picture>
  DATA/train/<class>/<picture>, also val/ and test/; test/ may hold loose pictures without labels
  DATA/images/<class>/<picture> with DATA/masks/<class>/<same name>.png
  DATA/<table>.csv with the columns path and label, and optionally split, mask, group"""

NEVER_CLASSES = frozenset({"masks", "segmentations", "segmentation", "trimaps"})
"""Lower-case folder names that are refused as classes: a mask tree that fits no picture, most likely."""

_ID_AND_NAME = re.compile(r"(\d+)[ _.-]+(.+)", re.ASCII | re.DOTALL)

Placed = dict[str, tuple[str, str]]
"""{picture path: (class folder or "", split or "")}"""


@dataclass(frozen=True)
class Base:
    """A folder whose subfolders are classes."""

    prefix: str
    """"" or a path that ends with a slash."""
    split: str


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
    numbers are ordered as numbers; otherwise alphabetically.
    """
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
    return ClassTable(names, ids, {folder: i for i, folder in enumerate(order)}, reason)


def tops(pictures: Iterable[str], prefix: str = "") -> list[str]:
    """Names of the folders directly below ``prefix`` that hold pictures, at any depth."""
    below = (path[len(prefix) :] for path in pictures if path.startswith(prefix))
    return sorted({path.split("/", 1)[0] for path in below if "/" in path})


def only_folder(pictures: Sequence[str]) -> str | None:
    """The single folder that holds all pictures, when classes or splits lie in it (an unpacked archive)."""
    names = tops(pictures)
    if (
        len(names) != 1
        or names[0].lower() in WRAPPERS | SPLIT_NAMES.keys()
        or any("/" not in p for p in pictures)
    ):
        return None
    inside = tops(pictures, f"{names[0]}/")
    named = any(name.lower() in WRAPPERS | SPLIT_NAMES.keys() for name in inside)
    return names[0] if len(inside) >= 2 or named else None


def _unwrap(pictures: Sequence[str], prefix: str) -> str:
    """``prefix``, or ``prefix/images/`` when all its pictures lie there."""
    names = tops(pictures, prefix)
    return f"{prefix}{names[0]}/" if len(names) == 1 and names[0].lower() in WRAPPERS else prefix


def find_bases(data: Path, pictures: Sequence[str]) -> list[Base]:
    """Where the class folders are: one place, or one for each split folder.

    Raises:
        DataError: split folders lie beside other folders, or a mask tree that is not recognised does.
    """
    prefix = _unwrap(pictures, "")
    names = tops(pictures, prefix)
    splits = [name for name in names if name.lower() in SPLIT_NAMES]
    others = [name for name in names if name not in splits]
    if splits and others:
        raise DataError(
            f"{data} has the split folders {', '.join(splits)} beside {', '.join(others[:5])}, so it is not "
            "clear what the classes are; move one kind away, or list the pictures in a table.\n" + EXPECTED
        )
    if splits:
        bases = [Base(_unwrap(pictures, f"{prefix}{name}/"), SPLIT_NAMES[name.lower()]) for name in splits]
    else:
        bases = [Base(prefix, "")]
    for base in bases:
        _refuse_mask_trees(data, pictures, base.prefix)
    return bases


def _refuse_mask_trees(data: Path, pictures: Sequence[str], prefix: str) -> None:
    names = tops(pictures, prefix)
    tree = next((name for name in names if name.lower() in NEVER_CLASSES), None)
    if tree is not None:
        raise DataError(
            f"{prefix}{tree}/ in {data} looks like a mask tree, but its files match no picture; it must "
            "mirror the pictures (masks/<class>/<stem>.png). Name it (masks=...) or move it away."
        )
    wrapper = next((name for name in names if name.lower() in WRAPPERS), None)
    if wrapper is None:
        return
    stems: dict[str, set[str]] = defaultdict(set)
    for path in pictures:
        if path.startswith(prefix) and "/" in path[len(prefix) :]:
            top, _, below = path[len(prefix) :].partition("/")
            stems[top].add(os.path.splitext(below)[0])
    for name in names:
        if name != wrapper and 2 * len(stems[name] & stems[wrapper]) > len(stems[name]):
            raise DataError(
                f"{prefix}{name}/ in {data} mirrors {prefix}{wrapper}/; if it holds masks, name it "
                f"(masks={prefix}{name}), else move it away."
            )


def place(pictures: Sequence[str], bases: Sequence[Base], notes: list[str]) -> Placed:
    """Class folder and split of each picture; without splits, pictures outside class folders are left out."""
    placed: Placed = {}
    for base in bases:
        for path in pictures:
            if path.startswith(base.prefix):
                folder, slash, _ = path[len(base.prefix) :].partition("/")
                if slash or base.split:
                    placed[path] = (folder if slash else "", base.split)
    trained = {folder for folder, split in placed.values() if split == "train"}
    for base in bases:
        names = tops(pictures, base.prefix)
        if trained and base.split in ("val", "test") and len(names) == 1 and names[0] not in trained:
            folder = f"{base.prefix}{names[0]}"
            notes.append(f"{folder}/ is no class of train, so its pictures count as unlabelled.")
            for path in pictures:
                if path.startswith(f"{base.prefix}{names[0]}/"):
                    placed[path] = ("", base.split)
    return placed


def layout_notes(placed: Mapping[str, tuple[str, str]], pictures: Sequence[str]) -> list[str]:
    """Sentences on what is unlabelled, left out or odd."""
    notes = []
    loose = Counter(split for folder, split in placed.values() if not folder)
    for split, count in loose.items():
        notes.append(f"{count} pictures of {split} lie in no class folder; they are unlabelled.")
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
    spellings = Counter(folder.casefold() for folder in folders)
    twice = sorted(folder for folder in folders if spellings[folder.casefold()] > 1)
    if twice:
        notes.append(f"These classes differ in upper and lower case only: {', '.join(twice)}.")
    return notes


def empty_folders(
    folders: Iterable[str], pictures: Sequence[str], bases: Sequence[Base], masks: Iterable[str]
) -> tuple[str, ...]:
    """Names of folders in the place of a class that hold no picture in any split."""
    classes = {name for base in bases for name in tops(pictures, base.prefix)}
    mask_tops = {(base.prefix, name) for base in bases for name in tops(masks, base.prefix)}
    empty = set()
    for base in bases:
        for folder in folders:
            name = folder[len(base.prefix) :]
            if not folder.startswith(base.prefix) or "/" in name:
                continue
            if name.lower() in TREES or name.lower() in SPLIT_NAMES or name in classes:
                continue
            if (base.prefix, name) not in mask_tops:
                empty.add(name)
    return tuple(sorted(empty))
