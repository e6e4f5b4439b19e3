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
        self.parts: list[dict[str, np.ndarray]] = []

    def wants(self, rows: np.ndarray) -> bool:
        """Whether it is to ``see`` the pictures of these catalog rows."""
        return False

    def see(self, batch: Batch) -> None:
        """The next batch (bytes) of the pictures that are predicted, as the network sees them without augmentation."""
        self.parts.append(self.values(batch))

    def values(self, batch: Batch) -> dict[str, np.ndarray]:
        """{column of predictions.csv: (B,) float32} of a batch that is seen."""
        return {}

    def columns(self) -> dict[str, np.ndarray]:
        """The same of the N pictures seen, (N,) each."""
        names = self.parts[0] if self.parts else ()
        return {name: np.concatenate([part[name] for part in self.parts]) for name in names}

    def run(self, table: PredictionTable, folder: Path | None) -> Iterator[tuple[str, Any]]:
        """(split.name, plain values for JSON).

        Args:
            table: the predictions of the pictures seen, with the columns of all evaluators.
            folder: the run folder, for files of its own; None: nothing is written.
        """
        return iter(())
