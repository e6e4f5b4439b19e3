"""python results/scenes_matrices.py STUDIES OUT.png: the confusion matrices of the fifteen models on one sheet.

STUDIES is what scenes_studies.py wrote. Rows are true classes and columns predicted ones, summed over the seeds; a
row's shades add up to one, and the diagonal is outlined.
"""

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from scenes_table import REPORT, fifteen_runs

from foveate import Run
from foveate.reporting.study_confusion import confusion_counts

COLUMNS = 4
Matrix = tuple[np.ndarray, tuple[str, ...], int]
"""Counts, names, seeds."""


def matrix_of(runs: list[Run]) -> Matrix:
    """Of one model's test answers."""
    names = tuple(runs[0].environment["classes"])
    counts = np.sum([confusion_counts(run.predictions.of_split("test")) for run in runs], axis=0)
    return counts, names, len(runs)


def draw(models: dict[str, Matrix], out: Path) -> None:
    """All of them."""
    rows = -(-len(models) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(3.9 * COLUMNS, 4.15 * rows), squeeze=False)
    for axis in axes.flat:
        axis.set_visible(False)
    for axis, (arm, (counts, names, seeds)) in zip(axes.flat, models.items(), strict=False):
        axis.set_visible(True)
        shares = counts / counts.sum(axis=1, keepdims=True)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        right = f"{100 * np.trace(counts) / counts.sum():.1f} % right"
        axis.set_title(f"{arm}: {right}" + (f", {seeds} seeds" if seeds > 1 else ""), fontsize=9)
        places = range(len(names))
        axis.set_xticks(places, names, rotation=90, fontsize=6)
        axis.set_yticks(places, names, fontsize=6)
        for k in places:
            axis.add_patch(plt.Rectangle((k - 0.5, k - 0.5), 1, 1, fill=False, lw=0.4, ec="0.4"))
        for a in places:
            for b in places:
                if shares[a, b] >= 0.1:
                    shade = "white" if shares[a, b] > 0.55 else "black"
                    axis.text(
                        b, a, f"{100 * shares[a, b]:.0f}", ha="center", va="center", fontsize=5, color=shade
                    )
    figure.tight_layout(pad=0.6)
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    place, out = map(Path, sys.argv[1:])
    found = fifteen_runs(place)
    draw({arm: matrix_of(found[arm]) for arm in REPORT if found.get(arm)}, out)
