"""python results/scenes_inversion.py RUN ... OUT.png: five classes as each network would have them, a run a row."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from foveate import Run
from foveate.explanation.inversion import invert

CLASSES = ("bedroom", "coast", "forest", "highway", "industrial")
"""Those of the report."""


def draw(runs: list[Path], out: Path) -> None:
    """One sheet; the probability of the class stands above each picture."""
    figure, axes = plt.subplots(
        len(runs), len(CLASSES), figsize=(1.9 * len(CLASSES), 2.15 * len(runs)), squeeze=False
    )
    for row, folder in zip(axes, runs, strict=True):
        run = Run.open(folder)
        numbers = [run.catalog.classes.index(name) for name in CLASSES]
        found = invert(run.model, numbers, seed=0)
        assert found.probabilities is not None
        for place, image, name, share in zip(row, found.images, CLASSES, found.probabilities, strict=True):
            place.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
            place.set_title(f"{name} {100 * float(share):.0f} %", fontsize=8)
            place.set_xticks([])
            place.set_yticks([])
        row[0].set_ylabel(folder.name, fontsize=9)
    figure.tight_layout(pad=0.4)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    *folders, target = map(Path, sys.argv[1:])
    draw(folders, target)
