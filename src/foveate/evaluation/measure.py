"""One pass over pictures: what a network says of them, and what evaluators see of them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foveate.data.batch import Batch
from foveate.data.cache import DecodedPictures, Item, Pictures
from foveate.data.decode import DecodeError
from foveate.data.square import at_side
from foveate.evaluation.evaluators import Evaluator
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.subject import Subject
from foveate.evaluation.summary import summarise_all


def measure(
    subject: Subject, rows: np.ndarray, evaluators: Sequence[Evaluator], folder: Path | None = None
) -> tuple[PredictionTable, dict[str, dict[str, Any]]]:
    """The prediction table of these catalog rows, and {split: metrics} as in result.json.

    Args:
        folder: the run folder, in which evaluators leave files of their own; None: nothing is written.
    """
    table = predict(subject, rows, evaluators)
    metrics = summarise_all(table)
    for evaluator in evaluators:
        for name, value in evaluator.run(table, folder):
            split, what = name.split(".", 1)
            # Where a pretext task gives no answers (pairs of views) there is no accuracy.
            metrics.setdefault(split, {"accuracy": None})[what] = value
    return table, metrics


def predict(
    subject: Subject,
    rows: np.ndarray,
    evaluators: Iterable[Evaluator] = (),
    faults: dict[int, str] | None = None,
) -> PredictionTable:
    """Predict these rows of the catalog; evaluators add their columns.

    Where the test-time augmentation takes pictures of another side, evaluators see theirs in a second pass.

    Args:
        faults: takes {row: why} of pictures that cannot be read, which then have no prediction; needs 0 workers. None:
            such a picture is an error.
    """
    watching = [evaluator for evaluator in evaluators if evaluator.wants(rows)]
    same = subject.side == subject.size

    def readable(side: int) -> Pictures | None:
        return None if faults is None else _Readable(subject, faults, side)

    def shown() -> Iterator[Batch]:
        for batch in subject.batches(rows, "predicting", side=subject.side, pictures=readable(subject.side)):
            if same:
                _see(watching, batch)
            yield subject.shown(batch)

    index, logs = subject.predict(shown())
    if watching and not same:
        for batch in subject.batches(rows, "measuring", pictures=readable(subject.size)):
            _see(watching, batch)
    look: dict[str, np.ndarray] = {}
    for evaluator in watching:
        look |= evaluator.columns()
    return PredictionTable.from_catalog(logs, subject.catalog, index, look)


def _see(evaluators: Iterable[Evaluator], batch: Batch) -> None:
    with torch.enable_grad():  # the forward pass of the predictions has it off
        for evaluator in evaluators:
            evaluator.see(batch)


class _Readable(DecodedPictures):
    """Pictures of which those that cannot be read are black, and named."""

    def __init__(self, subject: Subject, faults: dict[int, str], side: int) -> None:
        super().__init__(
            subject.catalog, subject.cache.size or side, at_side(subject.fit, subject.size, side)
        )
        self.faults = faults

    def read(self, row: int) -> Item:
        try:
            return super().read(row)
        except DecodeError as error:
            self.faults[row] = error.reason or str(error)
            black = torch.zeros((4, self.size, self.size), dtype=torch.uint8)
            return black[:3], black[3:], False
