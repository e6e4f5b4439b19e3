"""What an evaluator is: something that is measured of a trained network, named in ``evaluation.measures``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from foveate.data.batch import Batch
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.subject import Subject


class Evaluator:
    """Base of all; built with (config, subject).

    All evaluators share one pass over the pictures: each sees every batch, then gives columns of the prediction table,
    then values that follow from the table. Whoever needs other pixels reads them itself, in ``run``.
    """

    def __init__(self, config: Any, subject: Subject) -> None:
        self.config, self.subject = config, subject

    def wants(self, rows: np.ndarray) -> bool:
        """Whether it is to ``see`` the pictures of these catalog rows."""
        return False

    def see(self, batch: Batch) -> None:
        """The next batch (bytes) of the pictures that are predicted, as the network sees them without augmentation."""

    def columns(self) -> dict[str, np.ndarray]:
        """{column of predictions.csv: (N,) float32} of the N pictures seen."""
        return {}

    def run(self, table: PredictionTable, folder: Path | None) -> Iterator[tuple[str, Any]]:
        """(split.name, plain values for JSON).

        Args:
            table: the predictions of the pictures seen, with the columns of all evaluators.
            folder: the run folder, for files of its own; None: nothing is written.
        """
        return iter(())
