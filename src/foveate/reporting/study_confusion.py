"""What each model of a study confuses: its matrix over all seeds, and the pairs of classes that are mistaken most."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import confusion_matrix

from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.summary import confused_pairs
from foveate.experiment import Run
from foveate.studies.engine import folder_of
from foveate.studies.specification import Study
from foveate.studies.tables import Column, Table

PAIRS = 8
"""Pairs that are shown of each model."""


@dataclass(frozen=True)
class Confusion:
    """One model's answers, summed over its seeds."""

    block: str
    arm: str
    split: str
    """The split that was judged: "test", or "val" where there is none."""
    classes: tuple[str, ...]
    counts: np.ndarray
    """(C, C) int64, rows = true class, columns = predicted."""
    seeds: int

    @property
    def pairs(self) -> list[tuple[str, str, int, int, float]]:
        """(a, b, a taken for b, b taken for a, share of both classes' pictures), most mistakes first."""
        found = confused_pairs(self.counts, self.classes)
        return [(p["a"], p["b"], p["a_as_b"], p["b_as_a"], p["share"]) for p in found]


def confusion_counts(rows: PredictionTable) -> np.ndarray:
    """(C, C) int64 of labelled rows, rows = true class, columns = predicted."""
    found: np.ndarray = confusion_matrix(rows.label, rows.prediction, labels=range(len(rows.class_ids)))
    return found


def confusions(study: Study, folder: Path) -> list[Confusion]:
    """One for each arm of each block that has a finished cell; arms of different classes are apart by nature."""
    sums: dict[tuple[str, str], Confusion] = {}
    for cell in study.cells():
        run = Run(folder_of(folder, cell))
        splits = run.predictions.splits if run.finished else ()
        split = "test" if "test" in splits else "val"
        if split in splits:
            counts, seeds = confusion_counts(run.predictions.of_split(split)), 1
            before = sums.get((cell.block, cell.arm))
            if before is not None:
                counts, seeds = counts + before.counts, 1 + before.seeds
            classes = tuple(run.environment["classes"])
            sums[cell.block, cell.arm] = Confusion(cell.block, cell.arm, split, classes, counts, seeds)
    return list(sums.values())


def pairs_table(found: Confusion) -> Table:
    """The pairs of classes that one model mistakes most."""
    rows = tuple(
        (f"{a} / {b}", str(there), str(back), f"{100 * share:.1f}%")
        for a, b, there, back, share in found.pairs[:PAIRS]
    )
    names = ("first as second", "second as first", "Share of both")
    return Table("Confused pairs", (Column("Pair", number=False), *map(Column, names)), rows)
