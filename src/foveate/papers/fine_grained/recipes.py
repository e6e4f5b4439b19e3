"""The studies of the fine-grained report: networks for classes that look alike, repeated with a held-out test.

What is kept: the two networks and their settings, SGD, separate rates for new layers, milestones, dropout as the
report's variant. What is mended: the epoch is chosen on validation pictures and not on the test, classes are numbered
from their names, the same network answers in training and in use; several seeds. 60 epochs stand for the report's 200.
"""

from typing import Any

from foveate.studies.specification import Study

SEEDS = (0, 1, 2, 3, 4)
METRICS = (
    "test.accuracy",
    "test.balanced_accuracy",
    "test.nll",
    "val.accuracy",
    "train_accuracy",
    "convergence_epoch",
)
BOXES = ("test.look.box_found.mean", "test.look.box_found_centre.mean", "test.look.box_iou.mean")
"""Of MMAL-Net, where pictures have masks."""
BACKBONE = "mobilenetv3_small_100"
EPOCHS = 60
WAVE = {"kind": "cosine_wave", "half_period": 200}
"""FBSD's program steps a cosine of 200 epochs with every batch."""


def branches(**weights: float) -> dict[str, Any]:
    """Cross-entropy on these branches; that of the joint answer is measured only."""
    terms = {
        name: {"kind": "cross_entropy", "on": name, "weight": weight} for name, weight in weights.items()
    }
    return {"classification": {"weight": 0}, **terms}


NETWORKS: dict[str, dict[str, Any]] = {
    "fbsd": {
        "model": {"network": {"kind": "fbsd"}},
        "objective": branches(level1=2, level2=2, level3=2, concat=1),
    },
    "mmal": {"model": {"network": {"kind": "mmal"}}, "objective": branches(raw=1, object=1, parts=1)},
    "cal": {
        "model": {"network": {"kind": "cal"}},
        "objective": {
            **branches(raw=1 / 3, effect=1, crops=2 / 3),
            "centre": {"kind": "centre", "on": "attended"},
        },
    },
}
"""A network and the losses of its authors."""


def base(**phase: Any) -> dict[str, Any]:
    """One phase over everything with SGD, the epoch kept by validation accuracy; ``phase`` changes its settings."""
    everything = {
        "name": "all",
        "epochs": EPOCHS,
        "optimizer": {"kind": "sgd", "weight_decay": 5e-4},
        "lr": 0.01,
        "lr_factors": {"backbone": 0.1},
        "schedule": {"kind": "cosine"},
        "restore_best": "val_accuracy",
    }
    return {
        "data": {
            "augment": {"preset": "basic", "interpolation": "bicubic"},
            "split": {"val": 0.15, "test": 0.3},
        },
        "model": {"backbone": BACKBONE},
        "objective": {"classification": {"kind": "cross_entropy"}},
        "training": {"batch_size": 20, "phases": [everything | phase]},
        "evaluation": {"measures": ["look", "backgrounds", "object_box"]},
    }


def network(**settings: Any) -> dict[str, Any]:
    return {"model": {"network": settings}}


def fine_grained_fbsd() -> Study:
    """FBSD with and without the report's dropout, as its authors' program and as their paper have it."""
    shared = base(lr=2e-3)
    return Study(
        name="Look-alike classes: FBSD",
        base={
            **shared,
            "model": {**shared["model"], **NETWORKS["fbsd"]["model"]},
            "objective": {
                **NETWORKS["fbsd"]["objective"],
                "classification": {"kind": "cross_entropy", "weight": 0},
            },
        },
        arms={
            "without dropout": {},
            "dropout 0.2": network(dropout=0.2),
            "as programmed": network(complement=0.001) | {"training.phases.0.schedule": WAVE},
            "as written": network(similarity="inner", pool=0),
            "no diversification": network(diversify=0.0),
        },
        seeds=SEEDS,
        metrics=METRICS,
    )


def fine_grained_mmal() -> Study:
    """MMAL-Net with the report's milestones, beside the same network on the whole picture alone."""
    milestones = {"kind": "milestones", "epochs": [EPOCHS * 60 // 200, EPOCHS * 100 // 200]}
    shared = base(
        lr=1e-3, lr_factors={}, schedule=milestones, optimizer={"kind": "sgd", "weight_decay": 1e-4}
    )
    shared["training"]["batch_size"] = 6
    shared["data"]["augment"] = {
        "steps": [{"kind": "hflip"}, {"kind": "gain", "amount": 0.2}, {"kind": "contrast", "amount": 0.2}],
        "interpolation": "bicubic",
    }
    return Study(
        name="Look-alike classes: MMAL-Net",
        base=shared,
        arms={
            "whole picture": {"model": {"head": {"kind": "linear", "dropout": 0.5}}},
            "MMAL": NETWORKS["mmal"],
            "MMAL, windows of vehicles": {
                **NETWORKS["mmal"],
                "model": {"network": {"kind": "mmal", "windows": "vehicles"}},
            },
            "MMAL without parts": {**NETWORKS["mmal"], "objective": branches(raw=1, object=1)},
        },
        seeds=SEEDS,
        metrics=METRICS + BOXES,
    )


def fine_grained_compare() -> Study:
    """The networks beside the ordinary one at equal epochs and at equal compute, and what else may help to generalise.

    MMAL and CAL see three pictures for one: the ordinary network gets three times the epochs in an arm of its own.
    FBSD's layers of 1024 channels are made for a ResNet-50, about four times as wide as MobileNetV3-Small: one arm has
    256.
    """
    cosine = {"model": {"head": {"kind": "cosine"}}}
    return Study(
        name="Look-alike classes: which network",
        base=base(),
        arms={
            "plain": {},
            "plain, three times the epochs": {"training.phases.0.epochs": 3 * EPOCHS},
            "FBSD": NETWORKS["fbsd"],
            "FBSD, a quarter as wide": {**NETWORKS["fbsd"], **network(kind="fbsd", width=256)},
            "MMAL": NETWORKS["mmal"],
            "CAL": NETWORKS["cal"],
            "dropout 0.5": {"model": {"head": {"kind": "linear", "dropout": 0.5}}},
            "label smoothing": {"objective": {"classification": {"label_smoothing": 0.1}}},
            "weight decay 5e-3": {"training.phases.0.optimizer.weight_decay": 5e-3},
            "bilinear pooling": network(kind="bilinear"),
            "attention": network(kind="attention"),
            "shuffled tiles": {"transforms": [{"kind": "shuffle_tiles"}]},
            "ArcFace": {**cosine, "objective": {"classification": {"kind": "arcface"}}},
        },
        seeds=SEEDS,
        metrics=METRICS + BOXES,
    )


def fine_grained_transfer() -> Study:
    """FBSD that begins with an earlier run on other classes (``--weights runs/first``), as the report's on aircraft.

    From that run all is taken over but the layers with a row for each class, or its backbone alone; beside them the
    weights that the first run began with.
    """
    shared = base(lr=2e-3)
    return Study(
        name="Look-alike classes: from one set to another",
        base={
            **shared,
            "model": {
                **NETWORKS["fbsd"]["model"], "backbone": None, "weights": "runs/first", "keep_head": "fitting"
            },
            "objective": {
                **NETWORKS["fbsd"]["objective"],
                "classification": {"kind": "cross_entropy", "weight": 0},
            },
        },
        arms={
            "pretrained": {"model": {"backbone": BACKBONE, "weights": "pretrained", "keep_head": False}},
            "other classes": {},
            "other classes, backbone alone": {"model.keep_head": False},
        },
        seeds=SEEDS,
        metrics=METRICS,
    )  # fmt: skip
