"""Who trains, who validates, who tests: stratified and group-aware, and the file that fixes it.

The split is drawn from the sorted paths with a keyed generator, so the order in which pictures were found and
the folder they lie in change nothing. It is written to a CSV file whose hash all runs of a comparison share.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from foveate.core.config import Config, Mark
from foveate.core.errors import ConfigError
from foveate.core.rng import numpy_generator
from foveate.data.catalog import UNLABELLED, Catalog
from foveate.data.split_file import (
    NO_FOLD,
    load_split,
    read_split,
    refuse_divided_groups,
    save_split,
    split_hash,
    split_table,
)
from foveate.data.stratified import SMALLEST_CLASS, assign, draw, groups_of

__all__ = ["Split", "SplitConfig", "load_split", "save_split", "split", "split_hash", "split_table"]


class SplitConfig(Config):
    """How pictures are divided."""

    val: float = Field(default=0.15, ge=0, lt=1)
    """Share of the labelled pictures for validation; of those outside a given test split or test fold."""
    test: float = Field(default=0.15, ge=0, lt=1)
    """Share of the labelled pictures for the test; unused where the data set brings a test split, and with
    folds."""
    folds: int | None = Field(default=None, ge=2, le=1000)
    """Divide into this many folds for cross-validation; ``fold`` chooses which one is the test."""
    fold: int | None = Field(default=None, ge=0, lt=1000)
    """The fold that is the test, from 0."""
    seed: int = 0
    """Random seed of the draw."""
    file: Path | None = None
    """A split file to follow instead of drawing."""
    keep_given: bool = True
    """Keep the splits that the data set came with; ``false`` pools all labelled pictures and draws anew."""
    judge: Annotated[Literal["test", "val"], Mark.LATER] = "test"
    """"val": epochs are chosen on the test pictures themselves, and there is no other test. Many reports do this; its
    accuracy is the best of many tries on the pictures it is reported for, so it is for comparisons with them alone."""
    train_per_class: int | None = Field(default=None, ge=1, le=1_000_000)
    """Train on at most this many pictures of each class; the rest of train is left unused (split ""). Val and test
    stay as they are, and a smaller number takes a part of what a larger one takes."""

    @model_validator(mode="after")
    def _check(self) -> "SplitConfig":
        if self.val + self.test >= 1:
            raise ValueError(f"val {self.val} + test {self.test} leaves nothing to train on")
        if self.fold is not None and self.folds is None and self.file is None:
            raise ValueError(f"fold {self.fold} needs folds, or a file that holds folds")
        if self.fold is not None and self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist among {self.folds} folds; the first is 0")
        return self


@dataclass(frozen=True)
class Split:
    """What ``split`` decided."""

    catalog: Catalog
    """Every sample has train, val or test; with folds and none chosen, the samples that are in a fold have
    ""."""
    notes: tuple[str, ...] = ()
    """One sentence for everything that was decided without being asked."""
    folds: tuple[int, ...] | None = None
    """One fold a row, -1 = in no fold (always trains, or unlabelled); None without folds."""


def split(catalog: Catalog, config: SplitConfig | None = None) -> Split:
    """Give every sample a split.

    Labelled pictures are stratified by class, and a group is never divided; every class keeps a picture in
    train. Splits that came with the data stay, and only what is missing is taken from train: val always, test
    only when there is no test split at all. Unlabelled pictures without a split become test pictures and stay
    unlabelled.

    Raises:
        DataError: the split file does not fit; the given splits divide a group.
        ConfigError: folds are asked of a data set that has its own labelled val or test split.
    """
    config = config or SplitConfig()
    result = _divide(catalog, config)
    if config.judge == "val":
        result = _judged_by_val(result)
    return result if config.train_per_class is None else _fewer(result, config.train_per_class, config.seed)


def _judged_by_val(result: Split) -> Split:
    """The test pictures are the validation pictures; those that were drawn for validation train."""
    catalog = result.catalog
    if not (catalog.labels[catalog.indices("test")] >= 0).any():
        raise ConfigError(
            f"split.judge is val, but {catalog.root} has no labelled test pictures to judge by."
        )
    moved = {"test": "val", "val": "train"}
    renamed = [moved.get(s.split, s.split) if s.label != UNLABELLED else s.split for s in catalog.samples]
    note = (
        "Epochs are chosen on the test pictures, as published: the accuracy is the best of many tries on them, "
        "not one on unseen pictures."
    )
    return replace(result, catalog=catalog.with_splits(renamed), notes=(*result.notes, note))


def _divide(catalog: Catalog, config: SplitConfig) -> Split:
    if config.file is not None:
        return _from_file(catalog, config)
    if not config.keep_given:
        catalog = catalog.with_splits(["" if s.label != UNLABELLED else s.split for s in catalog.samples])
    refuse_divided_groups(catalog, "The data set's own splits", "mend them, or set split.keep_given to false")
    return _folds(catalog, config) if config.folds else _three_ways(catalog, config)


def _fewer(result: Split, count: int, seed: int) -> Split:
    """``count`` training pictures of each class stay in train, the others get no split."""
    catalog = result.catalog
    splits = [sample.split for sample in catalog.samples]
    short = []
    for label, name in enumerate(catalog.classes):
        rows = sorted(
            (row for row in catalog.indices("train") if catalog.labels[row] == label),
            key=lambda row: catalog.samples[row].path,
        )
        if len(rows) < count:
            short.append(f"{name} ({len(rows)})")
        order = numpy_generator(seed, "train_per_class", name).permutation(len(rows))
        for k in order[count:]:
            splits[rows[k]] = ""
    left = sum(not part for part in splits)
    notes = [f"Training uses {count} pictures of each class; {left} training pictures are left unused."]
    if short:
        notes.append(
            f"Classes with fewer training pictures than {count} keep all they have: {', '.join(short)}."
        )
    return Split(catalog.with_splits(splits), (*result.notes, *notes), result.folds)


def _from_file(catalog: Catalog, config: SplitConfig) -> Split:
    assert config.file is not None
    if config.fold is None:
        return Split(load_split(config.file, catalog), (f"The split was read from {config.file}.",))
    result, folds = read_split(config.file, catalog)
    if max(folds, default=NO_FOLD) == NO_FOLD:
        raise ConfigError(f"{config.file} holds no folds, so split.fold {config.fold} cannot be chosen.")
    if config.folds is not None and config.folds != max(folds) + 1:
        raise ConfigError(
            f"{config.file} holds {max(folds) + 1} folds and not {config.folds}; set the number of folds to "
            f"{max(folds) + 1}, or divide the pictures anew."
        )
    return _choose_fold(result, np.array(folds), config, [f"The folds were read from {config.file}."])


def _three_ways(catalog: Catalog, config: SplitConfig) -> Split:
    notes: list[str] = []
    splits = [s.split or ("test" if s.label == UNLABELLED else "") for s in catalog.samples]
    labelled = catalog.labels != UNLABELLED
    groups = {s.group: s.split for s in catalog.samples if s.group and s.split and s.label != UNLABELLED}
    for row, sample in enumerate(catalog.samples):  # a row without a split goes where its group was put
        if not splits[row] and sample.group:
            splits[row] = groups.get(sample.group, "")
    given = Counter(part for part, known in zip(splits, labelled, strict=True) if known and part)
    shares = {"val": 0.0 if given["val"] else config.val, "test": 0.0 if given["test"] else config.test}
    unlabelled_test = sum(part == "test" for part, known in zip(splits, labelled, strict=True) if not known)
    if unlabelled_test:
        if not given["test"]:
            shares["test"] = 0.0
            notes.append(
                f"The test split has {unlabelled_test} pictures, all without a label: they can be predicted, "
                "not scored, so judge by val."
            )
        else:
            notes.append(
                f"{unlabelled_test} pictures of the test split have no label and are only predicted."
            )
    pool = [i for i, part in enumerate(splits) if labelled[i] and part in ("", "train")]
    drawn, more = draw(catalog, pool, shares, config.seed, "three ways")
    for row, part in zip(pool, drawn, strict=True):
        splits[row] = part
    if given:
        notes.extend(
            f"The data set brings no {part} split: it got {drawn.count(part)} of {len(pool)} in train."
            for part in ("val", "test")
            if part in drawn
        )
    result = catalog.with_splits(splits)
    wanted = [part for part in ("val", "test") if shares[part]]
    return Split(result, (*notes, *more, *_absence_notes(result, wanted)))


def _folds(catalog: Catalog, config: SplitConfig) -> Split:
    assert config.folds is not None
    labelled = catalog.labels != UNLABELLED
    given = {s.split for s, known in zip(catalog.samples, labelled, strict=True) if known} & {"val", "test"}
    if given:
        raise ConfigError(
            f"{catalog.root} brings its own {' and '.join(sorted(given))} split, which {config.folds} folds "
            "would mix up; leave folds out, or set split.keep_given to false to pool all labelled pictures."
        )
    pool = [i for i in range(len(catalog)) if labelled[i]]
    names = [str(k) for k in range(config.folds)]
    drawn = assign(catalog, pool, dict.fromkeys(names, 1 / config.folds), config.seed, "folds")
    groups = groups_of(catalog, pool)
    folds = np.full(len(catalog), NO_FOLD)
    folds[pool] = _numbered(catalog, pool, drawn, groups)
    notes = []
    if len(groups) < config.folds:
        what = "groups" if any(sample.group for sample in catalog.samples) else "pictures"
        notes.append(
            f"{config.folds} folds were asked for, but there are only {len(groups)} {what} to divide, so there are "
            f"{len(groups)} folds."
        )
    alone: dict[int, int] = {}
    for label in np.flatnonzero(catalog.counts()):
        rows = np.flatnonzero(catalog.labels == label)
        if len(np.unique(folds[rows])) == 1 and folds[rows[0]] != NO_FOLD:
            smallest = min(groups.values(), key=lambda g: (label not in catalog.labels[g], len(g)))
            folds[smallest] = NO_FOLD
            alone[int(label)] = len(smallest)
    if alone:
        listed = ", ".join(f"{catalog.classes[label]} ({count})" for label, count in alone.items())
        notes.append(
            f"Too few pictures or groups to be in two folds, so in none and always training: {listed}."
        )
    return _choose_fold(catalog, folds, config, [*notes, *_fold_notes(catalog, folds)])


def _numbered(
    catalog: Catalog, pool: Sequence[int], drawn: Sequence[str], groups: dict[str, list[int]]
) -> list[int]:
    """One number a row of ``pool``, from 0 without gaps. Folds of one group each are in the order of the groups' names,
    so that folds a data set brings keep their numbers."""
    used = sorted({*drawn}, key=int)
    if len(groups) == len(used) and all(catalog.samples[row].group for row in pool):
        fold_of = dict(zip(pool, drawn, strict=True))
        used = [fold_of[rows[0]] for _, rows in sorted(groups.items(), key=lambda item: _natural(item[0]))]
    number = {name: k for k, name in enumerate(used)}
    return [number[name] for name in drawn]


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts fold_2 before fold_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _fold_notes(catalog: Catalog, folds: np.ndarray) -> list[str]:
    """A sentence on the classes that some folds lack, and which."""
    lacking = []
    for label in np.flatnonzero(catalog.counts()):
        mine = folds[catalog.labels == label]
        absent = sorted({*folds.tolist()} - {*mine.tolist()} - {NO_FOLD})
        if absent and (mine != NO_FOLD).any():
            lacking.append(f"{catalog.classes[label]} ({len(mine)}) not in {', '.join(map(str, absent))}")
    if not lacking:
        return []
    more = f"; and {len(lacking) - 5} more" if len(lacking) > 5 else ""
    return [f"Some folds lack classes, whose pictures or groups are too few: {'; '.join(lacking[:5])}{more}."]


def _choose_fold(catalog: Catalog, folds: np.ndarray, config: SplitConfig, notes: list[str]) -> Split:
    """Fold ``config.fold`` is the test; val is drawn from the rest."""
    labelled = catalog.labels != UNLABELLED
    listed = tuple(int(k) for k in folds)
    splits = [
        "" if known else (s.split or "test") for s, known in zip(catalog.samples, labelled, strict=True)
    ]
    if config.fold is None:
        splits = [
            part or ("train" if fold == NO_FOLD else "") for part, fold in zip(splits, folds, strict=True)
        ]
        notes.append(f"{max(listed) + 1} folds were drawn; choose one with split.fold to train.")
        return Split(catalog.with_splits(splits), tuple(notes), listed)
    if config.fold not in listed:
        raise ConfigError(
            f"Fold {config.fold} is empty or does not exist; there are folds 0 to {max(listed)}."
        )
    pool = [i for i in range(len(catalog)) if labelled[i] and folds[i] != config.fold]
    drawn, more = draw(catalog, pool, {"val": config.val}, config.seed, f"fold {config.fold}")
    for row, k in enumerate(listed):
        if k == config.fold:
            splits[row] = "test"
    for row, part in zip(pool, drawn, strict=True):
        splits[row] = part
    result = catalog.with_splits(splits)
    return Split(result, (*notes, *more, *_absence_notes(result, ["test"])), listed)


def _absence_notes(catalog: Catalog, parts: Sequence[str]) -> list[str]:
    """A sentence for every part that was asked for and lacks classes that are large enough to be there."""
    notes = []
    rows = np.flatnonzero(catalog.labels != UNLABELLED)
    groups = len(groups_of(catalog, rows.tolist()))
    enough = catalog.counts() >= SMALLEST_CLASS
    for part in parts:
        absent = np.flatnonzero(enough & (catalog.counts(part) == 0))
        if len(absent):
            names = ", ".join(catalog.classes[label] for label in absent[:5]) + (
                " ..." if len(absent) > 5 else ""
            )
            reason = f"; the {len(rows)} pictures form only {groups} groups" if groups < len(rows) else ""
            notes.append(
                f"No picture in {part} of {len(absent)} of {len(catalog.classes)} classes: {names}{reason}."
            )
    return notes
