"""Background tests: the same pictures with another background, or without their object.

A network that has learned the object answers as before when only the background changes, and guesses when only the
background is left. What is done to a picture depends on the picture's path, the pictures of its split and a seed that
never changes. So every arm of a study and every run on the same split is asked about the very same bytes.

Objects are cut along their mask as in training (``foveate.augmentation.background_swap``). Whatever old background lies
inside a mask stays: with boxes that is a rim all around, and all tests but ``removed`` are milder than they seem.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from foveate.augmentation.background_swap import blur, compose, others
from foveate.core import config
from foveate.core.rng import key, numpy_generator
from foveate.data.batch import Batch
from foveate.data.cache import Pictures
from foveate.data.catalog import UNLABELLED
from foveate.evaluation.background_files import SHEET, TABLE, TESTS, BackgroundSheet, BackgroundTable
from foveate.evaluation.evaluators.evaluator import Evaluator
from foveate.evaluation.evaluators.variants import (
    SEED,
    as_bytes,
    ask,
    centred,
    masked_rows,
    painted_out,
    visible,
)
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.subject import Subject, judged_split, quiet

GREY = 128
"""The flat background. Not the picture's own mean, which would tell the background's colour."""
SHEET_PICTURES = 6
SHEET_SIDE = 128
"""Longest side in pixels of a picture that is kept to look at."""


@dataclass(frozen=True)
class BackgroundTests:
    """What was measured, and a few of the pictures on which it was."""

    table: BackgroundTable
    sheet: BackgroundSheet


def choose_backgrounds(paths: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """For each of N pictures the one whose background it gets, (N,) int64; -1 when there is only one picture.

    Of another class, because that is the hard case: a network that reads the background answers with the other class,
    where a background of the same class would tell it the truth. (Training takes backgrounds of any class, or else they
    would say which class it is not; a test teaches nothing.) Without a second class, any other picture. The choice
    depends on the picture's path and on the set of pictures, not on their order.
    """
    order = sorted(range(len(paths)), key=lambda i: paths[i])
    ordered, everyone = np.asarray(labels)[order], np.arange(len(paths))
    chosen = np.full(len(paths), -1, dtype=np.int64)
    for rank, i in enumerate(order):
        pool = others(rank, ordered, everyone, "other_class")
        if len(pool):
            chosen[i] = order[numpy_generator(SEED, "background", paths[i]).choice(pool)]
    return chosen


def change_picture(
    image: torch.Tensor, mask: torch.Tensor, path: str, lent: tuple[torch.Tensor, torch.Tensor] | None
) -> dict[str, torch.Tensor]:
    """One picture as each test shows it, {test: (3, H, W) uint8}.

    Args:
        image: (3, H, W) uint8.
        mask: (1, H, W) uint8, 255 = object; soft edges are blended.
        path: decides the noise.
        lent: picture and mask that lend their background; None leaves ``swapped`` out.
    """
    pixels, alpha = centred(image)[None], mask[None].double() / 255
    painted = painted_out(image, mask)[None]
    noise = numpy_generator(SEED, "noise", path).integers(0, 256, size=tuple(pixels.shape), dtype=np.uint8)
    behind = {
        "blurred": blur(painted),
        "grey": centred(torch.full_like(pixels, GREY)),
        "noise": centred(torch.from_numpy(noise)),
    }
    if lent is not None:
        behind["swapped"] = painted_out(*lent)[None]
    shown = {test: compose(pixels, other, alpha) for test, other in behind.items()}
    shown |= {"original": pixels, "removed": painted}
    return {test: as_bytes(shown[test])[0] for test in TESTS if test in shown}


class Backgrounds(Evaluator):
    """The same pictures with another background, and without their object, where there are masks."""

    class Config(config.Config):
        kind: Literal["backgrounds"] = "backgrounds"

    def run(self, table: PredictionTable, folder: Path | None) -> Iterator[tuple[str, Any]]:
        tests = measure_backgrounds(self.subject)
        if tests is None:
            return
        if folder is not None:
            tests.table.to_csv(folder / TABLE)
            tests.sheet.save(folder / SHEET)
        yield f"{tests.table.split}.backgrounds", tests.table.summary()


def measure_backgrounds(subject: Subject, pictures: Pictures | None = None) -> BackgroundTests | None:
    """Ask the network about every labelled picture that it is judged on and that has a mask, as each test shows it.

    A picture whose mask is empty at the network's size is not tested (it may lend its background). None when nothing
    is left.

    Args:
        pictures: the catalog's pictures; None: the subject opens them.

    Raises:
        DataError: a picture cannot be read.
    """
    catalog = subject.catalog
    samples = catalog.samples
    split = judged_split(catalog)
    rows = masked_rows(catalog)
    if not len(rows):
        return None
    paths = [samples[i].path for i in rows]
    chosen = choose_backgrounds(paths, catalog.labels[rows])
    lender = {int(row): int(rows[k]) if k >= 0 else None for row, k in zip(rows, chosen, strict=True)}
    wanted = sheet_rows(paths, catalog.labels[rows])
    kept: dict[str, dict[str, np.ndarray]] = {}

    def shown() -> Iterator[tuple[Batch, dict[int, dict[str, torch.Tensor]]]]:
        lenders = np.where(chosen >= 0, rows[chosen], rows)
        told = subject.batches(rows, "testing other backgrounds", side=subject.side, pictures=pictures)
        silent = replace(subject, progress=quiet).batches(lenders, "", side=subject.side, pictures=pictures)
        for own, lent in zip(told, silent, strict=True):
            changed = {}
            for k in visible(own):
                row = int(own.index[k])
                path, other = samples[row].path, (lent.images[k], lent.masks[k])
                changed[k] = change_picture(
                    own.images[k], own.masks[k], path, None if lender[row] is None else other
                )
                if path in wanted:
                    kept[path] = _small({"mask": own.masks[k], **changed[k]})
            yield own, changed

    index, asked, logs = ask(subject, shown())
    if not len(asked):
        return None
    of_test = {test: np.flatnonzero(asked == test) for test in TESTS if test in asked}
    tested = index[of_test["original"]]
    labels = catalog.labels[tested]
    lenders = [lender[row] for row in tested.tolist()]
    table = BackgroundTable(
        class_ids=catalog.class_ids,
        split=split,
        path=np.array([samples[row].path for row in tested]),
        label=labels,
        background=np.array(["" if row is None else samples[row].path for row in lenders]),
        background_label=np.array([UNLABELLED if row is None else samples[row].label for row in lenders]),
        prediction={test: logs[k].argmax(axis=1) for test, k in of_test.items()},
        probability={test: np.exp(logs[k, labels]).astype(np.float32) for test, k in of_test.items()},
    )
    paths = [path for path in wanted if path in kept]
    names = list(kept[paths[0]]) if paths else []
    stacked = {name: np.stack([kept[path][name] for path in paths]) for name in names}
    mask = stacked.pop("mask", np.zeros((0, 1, 1), dtype=np.uint8))
    return BackgroundTests(table, BackgroundSheet(np.array(paths, dtype=np.str_), mask, stacked))


def sheet_rows(paths: Sequence[str], labels: np.ndarray, count: int = SHEET_PICTURES) -> list[str]:
    """Paths of ``count`` pictures to look at: drawn at random (the same in every run), the classes in turn."""
    drawn = sorted(range(len(paths)), key=lambda i: key(SEED, "sheet", paths[i]))
    by_class = [[paths[i] for i in drawn if labels[i] == label] for label in np.unique(labels)]
    turns = chain.from_iterable(zip_longest(*by_class))
    return [path for path in turns if path is not None][:count]


def _small(pictures: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """{name: (c, H, W) uint8} -> {name: (h, w, c) or (h, w) uint8}, no side longer than ``SHEET_SIDE``."""
    small = {}
    for name, values in pictures.items():
        image = Image.fromarray(values.permute(1, 2, 0).numpy().squeeze())
        image.thumbnail((SHEET_SIDE, SHEET_SIDE), Image.Resampling.BOX, reducing_gap=None)
        small[name] = np.asarray(image)
    return small
