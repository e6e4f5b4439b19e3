"""python results/scenes_studies.py DATA WEIGHTS OUT [STUDY ...]: the studies of scenes.md, made small enough.

They are the recipes scenes-* with 64 px instead of 224, fewer epochs, one random seed and tf_efficientnet_lite0:
what two slow, shared cores can carry. Stopped, the same command goes on.
"""

import sys
from pathlib import Path
from typing import Any

from foveate.recipes import STUDIES
from foveate.reporting.study_folder import publish_study
from foveate.studies.engine import StudyObserver, run_study
from foveate.studies.specification import Cell, Study

SIZE = 64
SIDE = 3
"""The report's square of 10 px in 224, at 64 px."""
SUPERVISED, ROTATION, PERTURBATION = 3, 3, 1
"""Epochs of whole networks."""
LONG = 12
"""Of one more supervised model, to see what the few epochs cost."""
PRECISION = "fp32_channels_last"


def reduced(name: str, weights: Path, arms: list[str] | None = None, **changes: Any) -> Study:
    """The recipe with everything that costs time made smaller; ``changes`` are dotted fields of every arm."""
    values = STUDIES[name]().to_dict()
    values["seeds"] = [0]
    base = values["base"]
    base["model"] |= {"backbone": "tf_efficientnet_lite0", "weights": str(weights)}
    base["data"]["size"] = SIZE
    base["training"]["precision"] = PRECISION
    for start in [base, *values["arms"].values()]:
        if start.get("start"):
            kind = start["start"]["task"]["kind"]
            start["start"]["training"]["precision"] = PRECISION
            phase = start["start"]["training"]["phases"][0]
            phase["epochs"] = ROTATION if kind == "rotation" else PERTURBATION
            if kind == "perturbation":
                start["start"]["task"]["side"] = SIDE
    values["blocks"] = {}
    if arms:
        values["arms"] = {arm: values["arms"][arm] for arm in arms}
        values["baseline"] = values["baseline"] if values["baseline"] in arms else ""
    for arm in values["arms"].values():
        arm.update(changes)
    return Study.from_dict(values)


def studies(weights: Path) -> dict[str, Study]:
    """{name of the folder: study}, the most important rows first."""
    short = {"training.phases.0.epochs": SUPERVISED, "evaluation.neighbours": None}
    drifting = {"training.phases.0.freeze_bn": False, "training.phases.0.epochs": 12}
    first = ["Final", "1", "5", "6", "2", "4", "3"]
    return {
        "supervised": reduced("scenes-supervised", weights, [f"Supervised {k}" for k in first], **short),
        "rotation": reduced("scenes-rotation", weights),
        "perturbation": reduced("scenes-perturbation", weights),
        "controls": reduced("scenes-controls", weights),
        "rotation-drifting": reduced("scenes-rotation", weights, ["Rotation-classifier 3"], **drifting),
        "perturbation-drifting": reduced(
            "scenes-perturbation", weights, ["Perturbation-classifier 3"], **drifting
        ),
        "supervised-long": reduced(
            "scenes-supervised", weights, ["Supervised Final"], **{**short, "training.phases.0.epochs": LONG}
        ),
        "supervised-faithful": reduced(
            "scenes-supervised", weights, ["Supervised Final"], **{**short, "data.split.judge": "val"}
        ),
    }


class Told(StudyObserver):
    """Prints what happens."""

    def done(self, cell: Cell, done: int, total: int, seconds_left: float) -> None:
        print(f"[{done}/{total}] {cell}", flush=True)

    def failed(self, cell: Cell, error: str) -> None:
        print(f"failed: {cell}: {error}", flush=True)


if __name__ == "__main__":
    data, weights, out = map(Path, sys.argv[1:4])
    known = studies(weights)
    for name in sys.argv[4:] or known:
        run_study(known[name], data, out / name, jobs=1, threads=1, quarantine=True, observer=Told())
        print(publish_study(out / name), flush=True)
