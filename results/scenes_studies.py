"""python results/scenes_studies.py DATA WEIGHTS OUT [STUDY ...] [--seeds N]: the studies of scenes.md, small enough.

They are the recipes scenes-* with 80 px instead of 224, fewer epochs and tf_efficientnet_lite0: what two cores can
carry. Stopped, the same command goes on; with more seeds, it adds them.
"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from foveate.recipes import STUDIES
from foveate.reporting.study_folder import publish_study
from foveate.studies.engine import StudyObserver, run_study
from foveate.studies.specification import Cell, Study

SIZE = 80
"""The last map of the network is then 3 x 3."""
DETAIL = 160
"""Side of the stored pictures where they are cropped, so that a crop of a quarter is as sharp as the whole."""
SIDE = 4
"""The report's square of 10 px in 224, at 80 px."""
SUPERVISED, ROTATION, PERTURBATION = 8, 4, 8
"""Epochs of whole networks. A picture asks four questions in an epoch of rotation and two in one of perturbation, so
that both tasks see as many pictures."""
DRIFTING = 12
"""Of a head whose backbone runs in every epoch."""
PRECISION = "fp32_channels_last"
TASKS = ("rotation", "perturbation", "faulty perturbation")


def reduced(
    name: str,
    weights: Path,
    seeds: int,
    arms: list[str] | None = None,
    *,
    blurred: bool = False,
    **changes: Any,
) -> Study:
    """The recipe with everything that costs time made smaller.

    Args:
        blurred: pictures are turned and cropped bilinearly, from pictures stored at the network's size.
        changes: dotted fields of every arm.
    """
    values = STUDIES[name]().to_dict()
    values["seeds"] = list(range(seeds))
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
        if blurred:
            arm.pop("data.augment.interpolation", None)
        elif arm.get("data.augment.preset") == "advanced":
            arm["data.cache.size"] = DETAIL
    return Study.from_dict(values)


def studies(weights: Path, seeds: int) -> dict[str, Study]:
    """{name of the folder: study}."""
    short = {"training.phases.0.epochs": SUPERVISED, "evaluation.neighbours": None}
    drifting = {"training.phases.0.freeze_bn": False, "training.phases.0.epochs": DRIFTING}
    final, rotation, perturbation = (
        ["Supervised Final"],
        ["Rotation-classifier 3"],
        ["Perturbation-classifier 3"],
    )
    faithful = {"data.split.judge": "val", "data.augment.fill": "black"}
    untrained = {"model.weights": "none"}
    seen = ["ImageNet", "random", *(f"ImageNet, then {task}" for task in TASKS)]
    unseen = [f"random, then {task}" for task in TASKS]
    return {
        "supervised": reduced("scenes-supervised", weights, seeds, **short),
        "rotation": reduced("scenes-rotation", weights, seeds),
        "perturbation": reduced("scenes-perturbation", weights, seeds),
        "controls": reduced("scenes-controls", weights, seeds, seen),
        "controls-random": reduced("scenes-controls", weights, 1, unseen),
        "supervised-blurred": reduced("scenes-supervised", weights, 1, blurred=True, **short),
        "rotation-blurred": reduced("scenes-rotation", weights, 1, blurred=True),
        "perturbation-blurred": reduced("scenes-perturbation", weights, 1, blurred=True),
        "supervised-faithful": reduced(
            "scenes-supervised", weights, 1, final, blurred=True, **short, **faithful
        ),
        "supervised-untrained": reduced(
            "scenes-supervised", weights, 1, final, blurred=True, **short, **untrained
        ),
        "rotation-drifting": reduced("scenes-rotation", weights, seeds, rotation, **drifting),
        "perturbation-drifting": reduced("scenes-perturbation", weights, seeds, perturbation, **drifting),
    }


class Told(StudyObserver):
    """Prints what happens."""

    def done(self, cell: Cell, done: int, total: int, seconds_left: float) -> None:
        print(f"[{done}/{total}] {cell}", flush=True)

    def failed(self, cell: Cell, error: str) -> None:
        print(f"failed: {cell}: {error}", flush=True)


if __name__ == "__main__":
    parser = ArgumentParser()
    for argument in ("data", "weights", "out"):
        parser.add_argument(argument, type=Path)
    parser.add_argument("studies", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    known = studies(given.weights, given.seeds)
    for name in given.studies or known:
        run_study(
            known[name], given.data, given.out / name, jobs=1, threads=1, quarantine=True, observer=Told()
        )
        print(publish_study(given.out / name), flush=True)
