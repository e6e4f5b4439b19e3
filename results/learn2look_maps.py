"""python results/learn2look_maps.py STUDY FIGURE.png: feature maps of four test pictures before and after training.

STUDY is one of learn2look-finer whose networks were kept. Of its first seed: ImageNet's network, the one trained with
weight 0, and for each tap the one trained with the spatial loss (weight 0.5) there. Maps as the loss sees them: the
mean over channels, stretched to 0 to 1; below each the share of it that lies on the object.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from foveate import Run
from foveate.experiment.feature_stages import AFTER, BEFORE, TAPS, feature_stages
from foveate.reporting.canvas import PRINT, drawing, save
from foveate.reporting.feature_maps import resized, show, show_map
from foveate.reporting.pictures import outlined
from foveate.studies.engine import folder_of
from foveate.studies.study_reader import open_study

ARMS = {"weight 0": "weight 0", "early": "weight 0.5", "middle": "middle 0.5", "late": "late 0.5"}


def main(study: Path, figure: Path) -> None:
    cells = {cell.arm: cell for cell in open_study(study).cells() if cell.seed == 0}
    runs = {name: Run.open(folder_of(study, cells[arm])) for name, arm in ARMS.items()}
    for run in runs.values():
        run.maps = runs["weight 0"].maps  # the same pictures of every network
    found = {name: feature_stages(run, "cpu") for name, run in runs.items()}
    plain = found["weight 0"]
    columns = [
        (tap, name, values)
        for tap in TAPS
        for name, values in (
            ("ImageNet", plain.maps[tap][BEFORE]),
            ("weight 0", plain.maps[tap][AFTER]),
            ("weight 0.5", found[tap].maps[tap][AFTER]),
        )
    ]
    with drawing(PRINT):
        drawn = Figure(figsize=(1.15 * (len(columns) + 1), 1.45 * len(plain.index)), layout="constrained")
        grid = drawn.subplots(len(plain.index), len(columns) + 1, squeeze=False)
        for k, line in enumerate(grid):
            show(line[0], np.asarray(outlined(plain.image[k], plain.mask[k], 160)))
            for axes, (tap, name, values) in zip(line[1:], columns, strict=True):
                shown = values[k].astype(np.float64)
                show_map(axes, shown, resized(plain.mask[k], shown.shape))
                if not k:
                    axes.set_title(f"{tap} {shown.shape[0]}×{shown.shape[1]}\n{name}", fontsize=9)
        save(drawn, figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
