"""Problems of the table: classes that are empty, small or uneven, and groups that lie in two splits."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from foveate.core.errors import few
from foveate.data.audit.report import HARD_MINIMUM, Problem
from foveate.data.catalog import SPLITS, UNLABELLED, Catalog

_FEW = 5
"""Values of an attribute that a message names."""


def class_problems(
    catalog: Catalog, empty_classes: Sequence[str] = (), *, floor: int, imbalance: float
) -> list[Problem]:
    """Empty, too small, small and uneven classes; classes that a split lacks."""
    counts = catalog.counts()
    empty = [name for name, count in zip(catalog.classes, counts, strict=True) if count == 0]
    found = [
        Problem.of("empty-class", "", f"Class {name} has no picture; a network cannot learn it.")
        for name in dict.fromkeys([*empty_classes, *empty])
    ]
    by_class: dict[int, list[str]] = defaultdict(list)
    for sample in catalog.samples:
        if sample.label != UNLABELLED:
            by_class[sample.label].append(sample.path)
    for label, paths in sorted(by_class.items()):
        name, count = catalog.classes[label], len(paths)
        if count < HARD_MINIMUM:
            what = f"Class {name} has {_pictures(count)}: it cannot be in train, val and test."
            found.append(Problem.of("class-too-small", "", f"{what} Add some or leave the class out.", paths))
        elif count < floor:
            what = f"Class {name} has {_pictures(count)}, fewer than {floor}: its accuracy will be uncertain."
            found.append(Problem.of("class-below-floor", "", what))
    present = counts[counts > 0]
    if len(present) > 1 and present.max() > imbalance * present.min():
        most, least = (
            catalog.classes[np.flatnonzero(counts == n)[0]] for n in (present.max(), present.min())
        )
        what = f"{most} has {present.max() / present.min():.3g} times as many pictures as {least}"
        text = f"{what} ({present.max()} and {present.min()}): look at balanced accuracy, weight the classes."
        found.append(Problem.of("imbalance", "", text))
    return found + _splits(catalog, by_class)


def only_one_class(catalog: Catalog) -> str:
    """A sentence when all labelled pictures are of one class, else ""; nothing that is left out would mend it."""
    counts = catalog.counts()
    if np.count_nonzero(counts) != 1:
        return ""
    name = catalog.classes[int(counts.argmax())]
    return (
        f"All {counts.max()} labelled pictures are of one class, {name}: there is nothing to tell apart. Add another "
        "class, or learn without labels (foveate pretext)."
    )


def _splits(catalog: Catalog, by_class: dict[int, list[str]]) -> list[Problem]:
    counts = {split: catalog.counts(split) for split in SPLITS}
    used = [split for split in SPLITS if counts[split].sum()]
    undecided = catalog.counts("")
    found = []
    for label, paths in sorted(by_class.items()):
        name = catalog.classes[label]
        lacking = [split for split in used if not counts[split][label]] if not undecided[label] else []
        if "train" in lacking:
            text = f"Class {name} has no picture in train: it cannot be learnt."
            found.append(Problem.of("class-not-in-train", "", text, paths))
        others = [split for split in lacking if split != "train"]
        if others:
            text = f"Class {name} has no picture in {' and '.join(others)}: nothing is measured for it there."
            found.append(Problem.of("class-not-in-split", "", text))
    return found


def group_problems(catalog: Catalog) -> list[Problem]:
    """Groups with pictures in two splits."""
    members = defaultdict(list)
    for sample in catalog.samples:
        if sample.group:
            members[sample.group].append(sample)
    found = []
    for group, samples in members.items():
        splits = [split for split in SPLITS if any(sample.split == split for sample in samples)]
        if len(splits) > 1:
            paths = [sample.path for sample in samples if sample.split]
            what = f"Group {group} has pictures in {' and '.join(splits)}"
            text = f"{what}: the test would ask for what training has seen. Split by group."
            found.append(Problem.of("group-across-splits", paths[0], text, paths[1:]))
    return found


def attribute_problems(catalog: Catalog) -> list[Problem]:
    """Values of attributes that occur with one class only: a network may learn the value in place of the class.

    Values of fewer than ``HARD_MINIMUM`` labelled pictures show nothing.
    """
    found = []
    for name in catalog.attributes if np.count_nonzero(catalog.counts()) > 1 else ():
        members: dict[str, list[int]] = defaultdict(list)
        for row, value in enumerate(catalog.values(name)):
            if value and catalog.labels[row] != UNLABELLED:
                members[value].append(row)
        alone = {
            value: rows
            for value, rows in sorted(members.items())
            if len(rows) >= HARD_MINIMUM and len(set(catalog.labels[rows].tolist())) == 1
        }
        if alone:
            listed = [
                f"{value} ({_pictures(len(rows))}, all {catalog.classes[catalog.labels[rows[0]]]})"
                for value, rows in alone.items()
            ]
            text = (
                f"{len(alone)} of {len(members)} values of {name} occur with one class only, so a network can learn "
                f"them in place of the class: {few(listed, _FEW)}."
            )
            paths = [catalog.samples[row].path for rows in alone.values() for row in rows]
            found.append(Problem.of("attribute-one-class", "", text, paths))
    return found


def _pictures(n: int) -> str:
    return "1 picture" if n == 1 else f"{n} pictures"
