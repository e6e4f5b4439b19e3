"""Checks of files, masks, classes, groups and attributes: each a function that yields what is wrong."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePath

import numpy as np
from PIL import Image

from foveate.core.errors import few
from foveate.data import annotations
from foveate.data.audit.facts import Facts
from foveate.data.audit.report import HARD_MINIMUM, Problem
from foveate.data.catalog import SPLITS, UNLABELLED, Catalog
from foveate.data.layout_settings import OFF

_TINY = 32
_SAME_FORMAT = {"MPO": "JPEG"}  # a JPEG that carries a second picture
_FULL = 0.999
_SURROUNDS = 0.9
"""Share of the picture's edge, from which on a mask that covers half of it and more may mark the background."""
_FEW = 5
"""Values of an attribute that a message names."""


def file_problems(catalog: Catalog, facts: Sequence[Facts]) -> Iterator[Problem]:
    """What cannot be read, and what Foveate changes about what can."""
    grey = {fact.colourless for fact in facts if fact.failure is None}
    for sample, fact in zip(catalog.samples, facts, strict=True):
        for code, text in _told(sample.path, fact, mixed=len(grey) > 1):
            yield Problem.of(code, sample.path, text)


def _told(path: str, fact: Facts, *, mixed: bool) -> Iterator[tuple[str, str]]:
    if fact.failure is not None:
        code, reason = fact.failure
        yield code, f"{reason[:1].upper()}{reason[1:]}."
        return
    actual = _SAME_FORMAT.get(fact.format, fact.format)
    named = Image.registered_extensions().get(PurePath(path).suffix.lower(), actual)
    if _SAME_FORMAT.get(named, named) != actual:
        yield "wrong-extension", f"The name says {named}, the content is {actual}; it is read by its content."
    if fact.mode in ("CMYK", "LAB", "YCbCr"):
        yield "cmyk", f"Stored as {fact.mode}; converted to RGB without a colour profile, colours may be off."
    if fact.deep:
        yield "sixteen-bit", f"Stored with more than 8 bits a channel (mode {fact.mode}); scaled to 8 bits."
    if fact.mode in ("P", "PA"):
        yield "palette", "Stored with a palette of at most 256 colours; converted to RGB."
    if fact.alpha:
        yield "alpha", "Has transparency; it is laid on white."
    if fact.frames > 1:
        yield "animated", f"Holds {fact.frames} frames or pages; only the first is used."
    if fact.rotated:
        yield "rotated", "EXIF says that it is turned; it is set upright."
    if min(fact.size) < _TINY:
        yield "tiny", f"Only {fact.size[0]}x{fact.size[1]} pixels; it is enlarged to the working size."
    if fact.flat:
        yield "blank", "Shows one flat colour; is the file what it should be?"
    if mixed and fact.colourless:
        yield "grey-among-colour", "Grey while others have colour; it is used as it is."


def mask_problems(catalog: Catalog, facts: Sequence[Facts]) -> Iterator[Problem]:
    """Masks that are missing, unreadable, of another shape or size, empty or full; and, once a kind, what was decided
    about those that are not plain, and whether they seem to mark the background. Nothing when the set has none."""
    usable = []
    for sample, fact in zip(catalog.samples, facts, strict=True):
        path, mask = sample.path, fact.mask
        if mask is None:
            continue
        if mask.failure is not None:
            code, reason = mask.failure
            yield Problem.of(code, path, f"The mask {sample.mask} cannot be used: {reason}.")
            continue
        usable.append((path, mask))
        if mask.scaled_from is not None:
            sizes = "{}x{}, the picture {}x{}".format(*mask.scaled_from, *fact.size)
            yield Problem.of("mask-size", path, f"The mask is {sizes}; the mask is scaled.")
        if mask.area == 0:
            yield Problem.of("mask-empty", path, "The mask marks nothing.")
        elif mask.area >= _FULL:
            yield Problem.of("mask-full", path, "The mask marks the whole picture: it guides nowhere.")
    for how, words in annotations.HOW.items():
        alike = [path for path, mask in usable if mask.how == how]
        if alike:
            code = "mask-no-zero" if how == "no zero" else "mask-read-as"
            yield Problem.of(code, "", f"{len(alike)} of {len(usable)} {words}.", alike)
    marked = [(path, mask) for path, mask in usable if 0 < mask.area < _FULL]
    around = [path for path, mask in marked if mask.area > 0.5 and mask.edge >= _SURROUNDS]
    if 2 * len(around) > len(marked):
        area = float(np.median([mask.area for _, mask in marked]))
        text = (
            f"{len(around)} of {len(marked)} masks run along the whole edge of the picture and cover most of it "
            f"(median {area:.0%}): are object and background swapped? If so, --set 'data.layout.mask_values=[0]' "
            "reads mask files the other way round."
        )
        yield Problem.of("mask-inverted", "", text, around)
    missing = [sample.path for sample in catalog.samples if not sample.mask]
    if missing and catalog.has_masks:
        text = f"{len(missing)} of {len(catalog)} pictures have no mask; what works with masks leaves them alone."
        yield Problem.of("mask-missing", "", text, missing)
        yield from _partly(catalog)


def _partly(catalog: Catalog) -> Iterator[Problem]:
    """Classes, or splits, of which no picture has a mask."""
    masked = np.array([bool(sample.mask) for sample in catalog.samples])
    of_class = {name: masked[catalog.labels == label] for label, name in enumerate(catalog.classes)}
    bare = [name for name, own in of_class.items() if len(own) and not own.any()]
    full = [name for name, own in of_class.items() if own.any()]
    if bare and full:
        text = (
            f"No mask of {few(bare, _FEW)}, while {few(full, _FEW)} {'have' if len(full) > 1 else 'has'} some: what a "
            "guide does to pictures with masks then tells the class. Draw or propose masks for all classes "
            f"(foveate masks propose), or train without them (--masks {OFF})."
        )
        yield Problem.of("mask-some-classes", "", text)
    of_split = {split: masked[catalog.indices(split, labelled=False)] for split in SPLITS}
    bare = [split for split, own in of_split.items() if len(own) and not own.any()]
    if bare:
        text = (
            f"No mask in {' and '.join(bare)}: nothing that needs masks (where a network looks, other backgrounds) is "
            "measured there, and what a guide does to training pictures with masks is not seen there. Draw or propose "
            "some there too (foveate masks propose)."
        )
        yield Problem.of("mask-some-splits", "", text)


def class_problems(
    catalog: Catalog, empty_classes: Sequence[str] = (), *, floor: int, imbalance: float
) -> Iterator[Problem]:
    """Empty, too small, small and uneven classes; classes that a split lacks."""
    counts, undecided = catalog.counts(), catalog.counts("")
    of_split = {split: catalog.counts(split) for split in SPLITS}
    empty = [name for name, count in zip(catalog.classes, counts, strict=True) if count == 0]
    for name in dict.fromkeys([*empty_classes, *empty]):
        yield Problem.of("empty-class", "", f"Class {name} has no picture; a network cannot learn it.")
    for label in np.flatnonzero(counts):
        name, count = catalog.classes[label], counts[label]
        paths = [catalog.samples[row].path for row in np.flatnonzero(catalog.labels == label)]
        if count < HARD_MINIMUM:
            what = f"Class {name} has {_pictures(count)}: it cannot be in train, val and test."
            yield Problem.of("class-too-small", "", f"{what} Add some or leave the class out.", paths)
        elif count < floor:
            text = f"Class {name} has {_pictures(count)}, fewer than {floor}: its accuracy will be uncertain."
            yield Problem.of("class-below-floor", "", text)
        lacking = [split for split, own in of_split.items() if own.any() and not own[label]]
        if undecided[label] or not lacking:
            continue
        if lacking[0] == "train":
            text = f"Class {name} has no picture in train: it cannot be learnt."
            yield Problem.of("class-not-in-train", "", text, paths)
            del lacking[0]
        if lacking:
            text = (
                f"Class {name} has no picture in {' and '.join(lacking)}: nothing is measured for it there."
            )
            yield Problem.of("class-not-in-split", "", text)
    present = counts[counts > 0]
    if len(present) > 1 and present.max() > imbalance * present.min():
        most, least = (catalog.classes[counts.tolist().index(n)] for n in (present.max(), present.min()))
        what = f"{most} has {present.max() / present.min():.3g} times as many pictures as {least}"
        text = f"{what} ({present.max()} and {present.min()}): look at balanced accuracy, weight the classes."
        yield Problem.of("imbalance", "", text)


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


def group_problems(catalog: Catalog) -> Iterator[Problem]:
    """Groups with pictures in two splits."""
    members = defaultdict(list)
    for sample in catalog.samples:
        if sample.group and sample.split:
            members[sample.group].append(sample)
    for group, samples in members.items():
        splits = [split for split in SPLITS if any(sample.split == split for sample in samples)]
        if len(splits) > 1:
            first, *others = (sample.path for sample in samples)
            what = f"Group {group} has pictures in {' and '.join(splits)}"
            text = f"{what}: the test would ask for what training has seen. Split by group."
            yield Problem.of("group-across-splits", first, text, others)


def attribute_problems(catalog: Catalog) -> Iterator[Problem]:
    """Values of attributes that occur with one class only: a network may learn the value in place of the class.

    Values of fewer than ``HARD_MINIMUM`` labelled pictures show nothing.
    """
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
            yield Problem.of("attribute-one-class", "", text, paths)


def _pictures(n: int) -> str:
    return "1 picture" if n == 1 else f"{n} pictures"
