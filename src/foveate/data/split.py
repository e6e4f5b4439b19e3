"""Who trains, who validates, who tests: stratified and group-aware, and the file that fixes it.

The split is drawn from the sorted paths with a keyed generator, so the order in which pictures were found and
the folder they lie in change nothing. It is written to a CSV file whose hash all runs of a comparison share.
"""

import re
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
    if config.file is not None:
        result = _from_file(catalog, config)
    else:
        if not config.keep_given:
            catalog = catalog.with_splits(["" if s.label != UNLABELLED else s.split for s in catalog.samples])
        refuse_divided_groups(
            catalog, "The data set's own splits", "mend them, or set split.keep_given to false"
        )
        result = _folds(catalog, config) if config.folds else _three_ways(catalog, config)
    if config.judge == "val":
        result = _judged_by_val(result)
    return result if config.train_per_class is None else _fewer(result, config.train_per_class, config.seed)


def _judged_by_val(result: Split) -> Split:
    """The test pictures are the validation pictures; those that were drawn for validation train."""
    catalog = result.catalog
    if not len(catalog.indices("test")):
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


def _fewer(result: Split, count: int, seed: int) -> Split:
    """``count`` training pictures of each class stay in train, the others get no split."""
    catalog = result.catalog
    splits = [sample.split for sample in catalog.samples]
    short = []
    train = sorted(catalog.indices("train").tolist(), key=lambda row: catalog.samples[row].path)
    for label, name in enumerate(catalog.classes):
        rows = [row for row in train if catalog.labels[row] == label]
        if len(rows) < count:
            short.append(f"{name} ({len(rows)})")
        for k in numpy_generator(seed, "train_per_class", name).permutation(len(rows))[count:]:
            splits[rows[k]] = ""
    left = splits.count("")
    notes = [f"Training uses {count} pictures of each class; {left} training pictures are left unused."]
    if short:
        notes.append(
            f"Classes with fewer training pictures than {count} keep all they have: {', '.join(short)}."
        )
    return replace(result, catalog=catalog.with_splits(splits), notes=(*result.notes, *notes))


def _from_file(catalog: Catalog, config: SplitConfig) -> Split:
    assert config.file is not None
    if config.fold is None:
        return Split(load_split(config.file, catalog), (f"The split was read from {config.file}.",))
    result, folds = read_split(config.file, catalog)
    count = max(folds, default=NO_FOLD) + 1
    if not count:
        raise ConfigError(f"{config.file} holds no folds, so split.fold {config.fold} cannot be chosen.")
    if config.folds not in (None, count):
        raise ConfigError(
            f"{config.file} holds {count} folds and not {config.folds}; set the number of folds to {count}, or divide "
            "the pictures anew."
        )
    return _choose_fold(result, np.array(folds), config, [f"The folds were read from {config.file}."])


def _three_ways(catalog: Catalog, config: SplitConfig) -> Split:
    labelled = catalog.labels != UNLABELLED
    of_group = {s.group: s.split for s in catalog.samples if s.group and s.split and s.label != UNLABELLED}
    # A row without a split goes where its group was put.
    given = [
        s.split or ("test" if s.label == UNLABELLED else of_group.get(s.group, "")) for s in catalog.samples
    ]
    splits = np.array(given, dtype=object)
    brought = set(splits[labelled]) - {""}
    shares = {
        "test": 0.0 if "test" in brought else config.test,
        "val": 0.0 if "val" in brought else config.val,
    }
    notes: list[str] = []
    unlabelled = int((~labelled & (splits == "test")).sum())
    if unlabelled and "test" in brought:
        notes.append(f"{unlabelled} pictures of the test split have no label and are only predicted.")
    elif unlabelled:
        shares["test"] = 0.0
        notes.append(
            f"The test split has {unlabelled} pictures, all without a label: they can be predicted, not scored, so "
            "judge by val."
        )
    pool = np.flatnonzero(labelled & ((splits == "") | (splits == "train"))).tolist()
    drawn, more = draw(catalog, pool, shares, config.seed, "three ways")
    splits[pool] = drawn
    if brought:
        notes.extend(
            f"The data set brings no {part} split: it got {drawn.count(part)} of {len(pool)} in train."
            for part in ("val", "test")
            if part in drawn
        )
    result = catalog.with_splits(splits)
    return Split(result, (*notes, *more, *_absence_notes(result, [part for part in shares if shares[part]])))


def _folds(catalog: Catalog, config: SplitConfig) -> Split:
    assert config.folds is not None
    given = {s.split for s in catalog.samples if s.label != UNLABELLED} & {"val", "test"}
    if given:
        raise ConfigError(
            f"{catalog.root} brings its own {' and '.join(sorted(given))} split, which {config.folds} folds "
            "would mix up; leave folds out, or set split.keep_given to false to pool all labelled pictures."
        )
    pool = np.flatnonzero(catalog.labels != UNLABELLED).tolist()
    names = [str(k) for k in range(config.folds)]
    drawn = assign(catalog, pool, dict.fromkeys(names, 1 / config.folds), config.seed, "folds")
    groups = groups_of(catalog, pool)
    # Numbers without gaps. Folds of one group each are in the order of the groups' names, so that folds a data set
    # brings keep their numbers.
    used = sorted({*drawn}, key=int)
    if len(groups) == len(used) and all(catalog.samples[row].group for row in pool):
        fold_of = dict(zip(pool, drawn, strict=True))
        used = [fold_of[groups[name][0]] for name in sorted(groups, key=_natural)]
    folds = np.full(len(catalog), NO_FOLD)
    folds[pool] = [used.index(name) for name in drawn]
    notes = []
    if len(groups) < config.folds:
        what = "groups" if any(sample.group for sample in catalog.samples) else "pictures"
        notes.append(
            f"{config.folds} folds were asked for, but there are only {len(groups)} {what} to divide, so there are "
            f"{len(groups)} folds."
        )
    alone, lacking = [], []
    for label in np.flatnonzero(catalog.counts()):
        mine = folds[catalog.labels == label]
        if len(np.unique(mine)) == 1 and mine[0] != NO_FOLD:
            smallest = min(groups.values(), key=lambda g: (label not in catalog.labels[g], len(g)))
            folds[smallest] = NO_FOLD
            alone.append(f"{catalog.classes[label]} ({len(smallest)})")
    if alone:
        notes.append(
            f"Too few pictures or groups to be in two folds, so in none and always training: {', '.join(alone)}."
        )
    for label in np.flatnonzero(catalog.counts()):
        mine = folds[catalog.labels == label]
        absent = sorted({*folds.tolist()} - {*mine.tolist()} - {NO_FOLD})
        if absent and (mine != NO_FOLD).any():
            lacking.append(f"{catalog.classes[label]} ({len(mine)}) not in {', '.join(map(str, absent))}")
    if lacking:
        listed = "; ".join(lacking[:5]) + (f"; and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        notes.append(f"Some folds lack classes, whose pictures or groups are too few: {listed}.")
    return _choose_fold(catalog, folds, config, notes)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts fold_2 before fold_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _choose_fold(catalog: Catalog, folds: np.ndarray, config: SplitConfig, notes: list[str]) -> Split:
    """Fold ``config.fold`` is the test; val is drawn from the rest."""
    labelled, listed = catalog.labels != UNLABELLED, tuple(folds.tolist())
    splits = np.array([s.split or "test" for s in catalog.samples], dtype=object)
    if config.fold is None:
        splits[labelled] = np.where(folds[labelled] == NO_FOLD, "train", "")
        notes.append(f"{max(listed) + 1} folds were drawn; choose one with split.fold to train.")
        return Split(catalog.with_splits(splits), tuple(notes), listed)
    if config.fold not in listed:
        raise ConfigError(
            f"Fold {config.fold} is empty or does not exist; there are folds 0 to {max(listed)}."
        )
    pool = np.flatnonzero(labelled & (folds != config.fold)).tolist()
    drawn, more = draw(catalog, pool, {"val": config.val}, config.seed, f"fold {config.fold}")
    splits[folds == config.fold] = "test"
    splits[pool] = drawn
    result = catalog.with_splits(splits)
    return Split(result, (*notes, *more, *_absence_notes(result, ["test"])), listed)


def _absence_notes(catalog: Catalog, parts: Sequence[str]) -> list[str]:
    """A sentence for every part that was asked for and lacks classes that are large enough to be there."""
    notes = []
    rows = np.flatnonzero(catalog.labels != UNLABELLED).tolist()
    groups = len(groups_of(catalog, rows))
    for part in parts:
        absent = np.flatnonzero((catalog.counts() >= SMALLEST_CLASS) & (catalog.counts(part) == 0))
        if len(absent):
            names = ", ".join(catalog.classes[label] for label in absent[:5])
            more = " ..." if len(absent) > 5 else ""
            reason = f"; the {len(rows)} pictures form only {groups} groups" if groups < len(rows) else ""
            notes.append(
                f"No picture in {part} of {len(absent)} of {len(catalog.classes)} classes: {names}{more}{reason}."
            )
    return notes
