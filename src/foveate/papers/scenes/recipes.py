"""The studies of the 15-Scene report: supervised against self-supervised, repeated with a held-out test and controls.

Two protocols stand side by side as blocks. "held-out": validation pictures come from the training set, the given test
is touched once, and a frozen backbone is frozen. "faithful" is what the report's program does: epochs are chosen on
the test pictures, BatchNorm statistics of the "frozen" backbone keep moving, corners opened by a rotation are black,
and the squares of the perturbation have the two faults that ``foveate.pretext.perturbation`` describes.
"""

from typing import Any

from foveate.studies.specification import Study

HARD = ("coast", "mountain", "opencountry")
"""Classes that the report weights by 1.5, since they are confused."""
HALF = [0.5, 0.5, 0.5]
METRICS = (
    "test.accuracy",
    "test.balanced_accuracy",
    "val.accuracy",
    "test.neighbours.accuracy",
    "train_accuracy",
    "epochs",
)
ROTATION = {
    # The report's text says basic transformations; its program crops.
    "task": {"kind": "rotation"},
    "augment": {"steps": [{"kind": "crop", "scale": [0.08, 1.0], "ratio": [0.75, 4 / 3]}]},
}
PERTURBATION = {"task": {"kind": "perturbation", "side": 10}, "augment": {"preset": "none"}}


def _phase(name: str, epochs: int, patience: int | None = None) -> dict[str, Any]:
    """Adam, learning rate 1e-3, a tenth of it after two epochs without a better validation accuracy."""
    return {
        "name": name,
        "epochs": epochs,
        "optimizer": {"kind": "adam", "weight_decay": 0.0},
        "lr": 1e-3,
        "schedule": {"kind": "plateau", "metric": "val_accuracy", "reduce": 0.1, "patience": 2},
        "early_stopping": {"metric": "val_accuracy", "patience": patience} if patience else None,
        "restore_best": "val_accuracy",
    }


def _base(phase: dict[str, Any]) -> dict[str, Any]:
    return {
        "data": {"augment": {"preset": "none"}},
        # As in the report's program: pictures normalised with a half, stochastic depth 0.2.
        "model": {
            "backbone": "efficientnet_b0",
            "backbone_kwargs": {"drop_path_rate": 0.2},
            "mean": HALF,
            "std": HALF,
        },
        "training": {"batch_size": 32, "phases": [phase]},
        "evaluation": {"neighbours": 20},
    }


def _start(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "training": {"batch_size": 32, "phases": [_phase("pretext", 30)]}}


def _blocks(**faithful: Any) -> dict[str, Any]:
    return {"held-out": {}, "faithful": {"data.split.judge": "val", "data.augment.fill": "black", **faithful}}


# Bicubic, or training pictures would be less sharp than those of the test.
_ADVANCED = {"data.augment.preset": "advanced", "data.augment.interpolation": "bicubic"}
_NO_CROP = {
    "data.augment.steps": [{"kind": "hflip"}, {"kind": "rotate", "degrees": 20}],
    "data.augment.interpolation": "bicubic",
}
_DEEP = {"model.head.kind": "deep"}
_WEIGHTED = {"objective.classification.class_weights": dict.fromkeys(HARD, 1.5)}
_PATIENT = {"training.phases.0.early_stopping": {"metric": "val_accuracy", "patience": 10}}


def scenes_supervised() -> Study:
    """The report's seven supervised models: transforms, depth of the head, class weights, optimizer, learning rate."""
    sgd = {"training.phases.0.optimizer": {"kind": "sgd", "momentum": 0.0, "weight_decay": 0.0}}
    return Study(
        name="Scenes: supervised",
        base=_base(_phase("all", 30)),
        arms={
            "Supervised 1": {},
            "Supervised 2": _ADVANCED,
            "Supervised 3": {**_ADVANCED, **_DEEP, **_PATIENT},
            "Supervised 4": {**_ADVANCED, **_WEIGHTED, **_PATIENT},
            "Supervised 5": {**_ADVANCED, **sgd, **_PATIENT},
            "Supervised 6": {**_ADVANCED, "training.phases.0.lr": 1e-2, **_PATIENT},
            "Supervised Final": {**_NO_CROP, **_WEIGHTED, **_PATIENT},
        },
        blocks=_blocks(),
        baseline="Supervised 2",
        split="shared",
        seeds=(0, 1, 2),
        metrics=METRICS,
    )


def _classifiers(
    name: str, prefix: str, start: dict[str, Any], patience: int | None, **faithful: Any
) -> Study:
    """A pretext run, and three heads on its frozen backbone: shallow and deep with augmentation, shallow without."""
    head = {**_phase("head", 50, patience), "trainable": "head"}
    return Study(
        name=name,
        base={**_base(head), "start": _start(start)},
        arms={
            f"{prefix}-classifier 1": _ADVANCED,
            f"{prefix}-classifier 2": {**_ADVANCED, **_DEEP},
            f"{prefix}-classifier 3": {},
        },
        blocks=_blocks(**{"training.phases.0.freeze_bn": False, "start.augment.fill": "black", **faithful}),
        baseline=f"{prefix}-classifier 3",
        split="shared",
        seeds=(0, 1, 2),
        metrics=METRICS,
    )


def scenes_rotation() -> Study:
    """The report's first pipeline: a network that tells rotations, then heads on its frozen backbone."""
    return _classifiers("Scenes: rotation", "Rotation", ROTATION, 10)


def scenes_perturbation() -> Study:
    """The report's second pipeline: a network that tells black from white squares, then heads on it, frozen."""
    faulty = {"start.task.faithful": True}
    return _classifiers("Scenes: perturbation", "Perturbation", PERTURBATION, None, **faulty)


def scenes_controls() -> Study:
    """What the report lacks: the same linear head on backbones that have seen no pretext task, or nothing but it."""
    head = {**_phase("head", 50), "trainable": "head"}
    faulty = {"task": {**PERTURBATION["task"], "faithful": True}, "augment": PERTURBATION["augment"]}  # type: ignore[dict-item]
    tasks = {"rotation": ROTATION, "perturbation": PERTURBATION, "faulty perturbation": faulty}
    scratch = {"model.weights": "none"}
    return Study(
        name="Scenes: controls",
        base=_base(head),
        arms={
            "ImageNet": {},
            "random": scratch,
            **{f"ImageNet, then {name}": {"start": _start(task)} for name, task in tasks.items()},
            **{f"random, then {name}": {"start": _start(task), **scratch} for name, task in tasks.items()},
        },
        split="shared",
        seeds=(0, 1, 2),
        metrics=METRICS,
    )
