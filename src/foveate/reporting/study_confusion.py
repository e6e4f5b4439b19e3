"""What each model of a study confuses: its matrix over all seeds, and the pairs of classes that are mistaken most."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.summary import confused_pairs
from foveate.experiment import Run
from foveate.reporting.matrix import confusion_svg
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
    counts = np.zeros((len(rows.class_ids),) * 2, dtype=np.int64)
    np.add.at(counts, (rows.label, rows.prediction), 1)
    return counts


def confusions(study: Study, folder: Path) -> list[Confusion]:
    """One for each arm of each block that has a finished cell; arms of different classes are apart by nature."""
    sums: dict[tuple[str, str], Confusion] = {}
    for cell in study.cells():
        run = Run(folder_of(folder, cell))
        if not run.finished:
            continue
        table = run.predictions
        split = "test" if "test" in table.splits else "val"
        if split not in table.splits:
            continue
        counts = confusion_counts(table.of_split(split))
        before = sums.get((cell.block, cell.arm))
        classes = tuple(run.environment["classes"])
        if before is not None:
            counts = counts + before.counts
        sums[cell.block, cell.arm] = Confusion(
            cell.block, cell.arm, split, classes, counts, 1 + (before.seeds if before else 0)
        )
    return list(sums.values())


def pairs_table(found: Confusion, top: int = PAIRS) -> Table:
    """The pairs of classes that one model mistakes most."""
    rows = tuple(
        (f"{a} / {b}", str(there), str(back), f"{100 * share:.1f}%")
        for a, b, there, back, share in found.pairs[:top]
    )
    columns = (
        Column("Pair", number=False), Column("first as second"), Column("second as first"), Column("Share of both"),
    )  # fmt: skip
    return Table("Confused pairs", columns, rows)


def drawn(found: Confusion) -> dict[str, object]:
    """What the report shows of one model."""
    hits, total = int(np.trace(found.counts)), int(found.counts.sum())
    seeds = "" if found.seeds == 1 else f", {found.seeds} seeds"
    return {
        "title": ", ".join(part for part in (found.block, found.arm) if part),
        "summary": f"{hits} of {total} {found.split} answers right{seeds}",
        "matrix": confusion_svg(found.counts.tolist(), found.classes),
        "pairs": pairs_table(found),
    }
