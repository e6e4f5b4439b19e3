"""Catalog: the frozen table of samples (path, label, split, mask, group, attributes) and class names.

Everything that trains, measures or explains starts from a Catalog. It is written into the run folder as
``catalog.csv`` and can be read back without looking at the pictures again.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.errors import DataError, shown
from foveate.core.files import write_csv
from foveate.core.reading import read_csv

UNLABELLED = -1
SPLITS = ("train", "val", "test")
COLUMNS = ("path", "label", "class_id", "split", "group", "mask")
ATTRIBUTE = "attribute_"
"""Before the name of an attribute, in the columns of a file."""


def composed(name: str) -> str:
    """A name in Unicode's composed form: macOS writes an accent as a character of its own, Linux does not."""
    return unicodedata.normalize("NFC", name)


def subgroups(labels: np.ndarray, values: Sequence[str]) -> np.ndarray:
    """(N,) int64: pictures of one class, (N,) int64, with one of the values (N,) share a number from 0."""
    pairs = list(zip(labels.tolist(), values, strict=True))
    numbers = {pair: number for number, pair in enumerate(sorted(set(pairs)))}
    return np.array([numbers[pair] for pair in pairs], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture."""

    path: str
    """Relative to the catalog's root, with forward slashes (absolute when it lies elsewhere)."""
    label: int = UNLABELLED
    """Index into ``Catalog.classes``; -1 when the picture has no label."""
    split: str = ""
    """"train", "val", "test", or "" when not decided yet."""
    mask: str = ""
    """A mask reference, ``kind:payload`` (see ``foveate.data.annotations``); "" when there is none."""
    group: str = ""
    """Pictures of one group (animal, plant, camera, video frame) must stay in one split; "" means its own group."""
    attributes: tuple[str, ...] = ()
    """What else is known of it (background, camera), a value for each of ``Catalog.attributes``; "" = unknown."""


@dataclass(frozen=True)
class Catalog:
    """A frozen table of samples.

    ``classes`` are names for people; ``class_ids`` are what predictions must carry (the number in ``4780_Chestnut``),
    equal to ``classes`` where a data set has no ids of its own. Both have one entry per contiguous label index.
    """

    root: Path
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    class_ids: tuple[str, ...] = field(default=())
    attributes: tuple[str, ...] = ()
    """Names of what is known of the pictures beside their class. Not groups: they are measured and balanced."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        if not self.class_ids:
            object.__setattr__(self, "class_ids", self.classes)
        if len(self.class_ids) != len(self.classes):
            raise DataError(
                f"{len(self.classes)} class names but {len(self.class_ids)} class ids in {self.root}."
            )
        if len(set(self.class_ids)) != len(self.class_ids):
            raise DataError(
                f"Two classes share one id in {self.root}: {sorted(self.class_ids)}; rename a folder."
            )
        paths = Counter(sample.path for sample in self.samples)
        if len(paths) < len(self.samples):
            raise DataError(
                f"{paths.most_common(1)[0][0]} is listed twice in {self.root}; keep one row for each picture."
            )
        for sample in self.samples:
            if not -1 <= sample.label < len(self.classes):
                raise DataError(
                    f"{sample.path} has label {sample.label}, but there are {len(self.classes)} classes."
                )
            if sample.split not in ("", *SPLITS):
                raise DataError(f"{sample.path} has split '{sample.split}'; use train, val or test.")
            if len(sample.attributes) != len(self.attributes):
                raise DataError(
                    f"{sample.path} has {len(sample.attributes)} attributes, the catalog has {list(self.attributes)}."
                )

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64, -1 = unlabelled."""
        return np.array([sample.label for sample in self.samples], dtype=np.int64)

    @cached_property
    def class_words(self) -> dict[str, int]:
        """{what a class may be called: its label}: its id, both joined as in a folder's name, or its name."""
        words: dict[str, int] = {}
        for k, (name, number) in enumerate(zip(self.classes, self.class_ids, strict=True)):
            words |= dict.fromkeys(map(composed, (number, *(f"{number}{mark}{name}" for mark in "_.- "))), k)
        return words | {composed(name): k for k, name in enumerate(self.classes)}

    def indices(self, split: str, *, labelled: bool = True) -> np.ndarray:
        """Rows of ``split`` in catalog order, (n,) int64; unlabelled rows only with ``labelled=False``."""
        wanted = [s.split == split and not (labelled and s.label == UNLABELLED) for s in self.samples]
        return np.flatnonzero(wanted).astype(np.int64)

    def file(self, row: int) -> Path:
        """Absolute path of the picture in ``row``."""
        return self.root / self.samples[row].path

    def counts(self, split: str | None = None) -> np.ndarray:
        """Pictures a class, (C,) int64; of one split or of all."""
        labels = self.labels if split is None else self.labels[self.indices(split)]
        return np.bincount(labels[labels >= 0], minlength=len(self.classes))

    def subset(self, rows: Iterable[int]) -> "Catalog":
        """A catalog of these rows, same classes."""
        return replace(self, samples=tuple(self.samples[i] for i in rows))

    def with_splits(self, splits: Iterable[str]) -> "Catalog":
        """The same pictures with another split column, one entry per row."""
        return self.with_column("split", splits)

    def with_column(self, name: str, values: Iterable[Any], **changes: Any) -> "Catalog":
        """The same pictures with another value of a field of ``Sample`` in each row; ``changes`` are of the catalog."""
        pairs = zip(self.samples, values, strict=True)
        return replace(
            self, samples=tuple(replace(sample, **{name: value}) for sample, value in pairs), **changes
        )

    def values(self, attribute: str) -> tuple[str, ...]:
        """The value of ``attribute`` for each row, "" = unknown.

        Raises:
            DataError: there is no such attribute.
        """
        if attribute not in self.attributes:
            known = f"they have {', '.join(self.attributes)}" if self.attributes else "they have none"
            raise DataError(
                f"The pictures of {self.root} have no attribute '{attribute}' ({known}); name it with --attribute."
            )
        place = self.attributes.index(attribute)
        return tuple(sample.attributes[place] for sample in self.samples)

    def subgroups(self, attribute: str) -> np.ndarray:
        """(N,) int64: pictures of one class with one value of ``attribute`` ("" is one) share a number from 0.

        Raises:
            DataError: there is no such attribute.
        """
        return subgroups(self.labels, self.values(attribute))

    @property
    def has_masks(self) -> bool:
        """Whether any picture has a mask."""
        return any(sample.mask for sample in self.samples)

    @cached_property
    def hash(self) -> str:
        """12 hex digits over classes, paths, labels, splits, groups, masks' references and attributes; not over the
        root."""
        known = (
            (self.attributes,) if self.attributes else ()
        )  # those without any keep the hashes they had before
        digest = hashlib.sha256(repr((self.classes, self.class_ids, *known)).encode())
        for s in sorted(self.samples, key=lambda sample: sample.path):
            digest.update(repr((s.path, s.label, s.split, s.mask, s.group, *s.attributes)).encode())
        return digest.hexdigest()[:12]

    def to_csv(self, path: Path) -> None:
        """Write one row a picture: path, label (class name), class_id, split, group, mask, attributes."""
        names, ids = (*self.classes, ""), (*self.class_ids, "")  # the last is at UNLABELLED
        rows = [
            (s.path, names[s.label], ids[s.label], s.split, s.group, s.mask, *s.attributes)
            for s in self.samples
        ]
        write_csv(Path(path), (*COLUMNS, *(ATTRIBUTE + name for name in self.attributes)), rows)

    @classmethod
    def from_csv(
        cls, path: Path, root: Path, classes: Sequence[str], class_ids: Sequence[str] = ()
    ) -> "Catalog":
        """Read what ``to_csv`` wrote; ``classes`` fixes the label order (a class may have no picture).

        Raises:
            DataError: the file is missing, lacks a column, or names an unknown class.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"{path} does not exist.")
        index = {name: i for i, name in enumerate(classes)}
        samples = []
        table = read_csv(path, COLUMNS)
        columns = [name for name in table.header if name.startswith(ATTRIBUTE)]
        for line, row in table.records():
            if row["label"] and row["label"] not in index:
                raise DataError(
                    f"{path}, line {line}: class {shown(row['label'])} is not one of {shown(list(classes))}."
                )
            label = index[row["label"]] if row["label"] else UNLABELLED
            known = tuple(row[name] for name in columns)
            samples.append(Sample(row["path"], label, row["split"], row["mask"], row["group"], known))
        names = tuple(name.removeprefix(ATTRIBUTE) for name in columns)
        try:
            return cls(Path(root), tuple(classes), tuple(samples), tuple(class_ids), names)
        except DataError as error:
            raise DataError(f"{path} was changed: {error}") from None
