"""Which pictures of another data set a run knows already: recognised by their bytes, whatever they are called."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from foveate.core.errors import DataError, few
from foveate.core.files import sha256_of_file
from foveate.data.catalog import Catalog
from foveate.experiment.run_folder import RunFolder
from foveate.training.training_job import EPOCHS

NAMED = 5
"""Pictures named in a sentence."""


class ByBytes:
    """Files that are found again by their bytes. Only files of the same size are read."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._of_size: dict[int, list[Path]] = defaultdict(list)
        for file in files:
            if file.is_file():
                self._of_size[file.stat().st_size].append(file)
        self._hashes: dict[Path, str] = {}

    def same(self, file: Path) -> list[Path]:
        """Those of the files that hold the same bytes, in their order."""
        alike = self._of_size.get(file.stat().st_size, []) if file.is_file() else []
        own = sha256_of_file(file) if alike else ""
        return [known for known in alike if self._hash(known) == own]

    def _hash(self, file: Path) -> str:
        if file not in self._hashes:
            self._hashes[file] = sha256_of_file(file)
        return self._hashes[file]


def without_training(
    catalog: Catalog, known: Catalog, run: Path, told: Callable[[str], None] = lambda text: None
) -> Catalog:
    """``catalog`` without the pictures that the run was trained on; its validation pictures are val, the rest is test.

    Args:
        known: the run's own pictures.
        run: its folder, for messages.
        told: gets a sentence on what was left out, and on what could not be compared.

    Raises:
        DataError: nothing is left.
    """
    found, missing = _splits(catalog, known)
    trained = [sample.path for sample in catalog.samples if found.get(sample.path) == "train"]
    if len(trained) == len(catalog):
        raise DataError(
            f"The network of {run} was trained on every picture of {catalog.root}, so there is nothing to measure; "
            "name pictures that it has not seen."
        )
    if trained:
        told(
            f"{len(trained)} of {len(catalog)} pictures of {catalog.root} are left out, for the network was trained on "
            f"them: {few(trained, NAMED)}."
        )
    val = [path for path, split in found.items() if split == "val"]
    if val:
        told(
            f"{len(val)} are the run's validation pictures, by which it was chosen; they are measured apart, as val."
        )
    if missing:
        told(
            f"{missing} of the pictures that the network was trained on are no longer in {known.root}; whether some of "
            f"them are in {catalog.root} cannot be seen."
        )
    return replace(
        catalog,
        samples=tuple(
            replace(sample, split="val" if found.get(sample.path) == "val" else "test")
            for sample in catalog.samples
            if found.get(sample.path) != "train"
        ),
    )


def learnt_before(catalog: Catalog, weights: str) -> str | None:
    """A sentence where pictures that ``catalog`` measures on were training pictures of the run that the weights are of.

    A pretext run has seen no classes, and is left alone.
    """
    folder = Path(weights).expanduser()
    folder = folder.parent.parent if folder.parent.name == EPOCHS else folder
    if not (folder / "catalog.csv").is_file() or RunFolder(folder).experiment.task is not None:
        return None
    before = RunFolder(folder).catalog
    trained = {
        os.path.realpath(before.file(row)) for row, s in enumerate(before.samples) if s.split == "train"
    }
    counts = {}
    for split, name in (("val", "validation"), ("test", "test")):
        rows = catalog.indices(split, labelled=False)
        seen = sum(os.path.realpath(catalog.file(row)) in trained for row in rows)
        if seen:
            counts[name] = f"{seen} of {len(rows)} {name} pictures"
    if not counts:
        return None
    return (
        f"{' and '.join(counts.values())} are among those that {folder} was trained on, from which this run starts: "
        "its figures will be too good. Divide as that run did (the same --split file, or data.split)."
    )


def _splits(catalog: Catalog, known: Catalog) -> tuple[dict[str, str], int]:
    """{path in ``catalog``: the split of the same picture in ``known``}, training first; and how many training
    pictures are gone. Only files of the same size are read."""
    splits = {known.file(row): s.split for row, s in enumerate(known.samples) if s.split in ("train", "val")}
    files, found = ByBytes(splits), {}
    for row, sample in enumerate(catalog.samples):
        same = {splits[file] for file in files.same(catalog.file(row))}
        if same:
            found[sample.path] = min(same)  # a picture that is in both counts as trained on
    return found, sum(split == "train" and not file.is_file() for file, split in splits.items())
