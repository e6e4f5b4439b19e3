"""The studies of the plant-species report: a small, unbalanced set of 96 px pictures, from scratch to fine-tuned.

Source: Breda, Giaccaglia, La Conca, ANN2DL Homework 1, 2022. What is kept: the networks, the augmentation, Adam, the
three ranges of the cyclical learning rate, early stopping by validation accuracy, eight views. What is mended: a test
split of its own for every seed, several seeds, intervals; views are shifted by pixels of the picture as recorded.
"""

from typing import Any

from foveate.experiment.specification import Experiment
from foveate.studies.specification import Study

SEEDS = (0, 1, 2, 3, 4)
PLANT = {"preset": "plant", "interpolation": "bicubic"}
"""The report's. It turns and moves every training picture, and the pictures are as small as the network's input:
interpolated bilinearly, as in Keras, all that is learnt from would be blurred, and sharp test pictures unknown."""
SPLIT = {"test": 0.2, "val": 0.12}
"""The report's: a fifth for the test, 15 % of the rest for validation."""
METRICS = (
    "test.accuracy",
    "test.balanced_accuracy",
    "test.macro_f1",
    "test.f1.*",
    "val.accuracy",
    "train_accuracy",
    "test.nll",
    "convergence_epoch",
)
ADAM = {"kind": "adam", "weight_decay": 0.0}
BACKBONE = "mobilenetv3_small_100"
VIEWS = "plants8"
LARGE = "convnext_large.fb_in22k_ft_in1k"
"""The weights that Keras has: trained on ImageNet-21k, then on ImageNet-1k (its documentation)."""

Ranges = tuple[tuple[int, float, float], ...]
"""(epochs, lowest, highest learning rate) of each stage."""
PUBLISHED: Ranges = ((15, 1e-6, 1e-5), (32, 1e-5, 1e-4), (9, 1e-6, 1e-5))
"""The report's, for ConvNeXt-Large: switched by hand at epochs 15 and 47."""
SMALL: Ranges = tuple((epochs, 30 * low, 30 * high) for epochs, low, high in PUBLISHED)
"""The same shape for small networks, which need larger steps; the factor was not tuned."""


def finetuned() -> dict[str, Any]:
    """What the studies start from: a pretrained network, its head first, then all of it; the report's augmentation.

    The weights of the epoch with the highest validation accuracy are kept.
    """
    return {
        "data": {"augment": PLANT, "split": SPLIT},
        "model": {"backbone": BACKBONE},
        "training": {
            "clip": 1.0,
            "phases": [
                {"name": "head", "epochs": 20, "trainable": "head", "lr": 2e-3, "restore_best": None},
                {
                    "name": "all",
                    "epochs": 20,
                    "freeze_bn": "all",
                    "lr": 1e-3,
                    "lr_factors": {"backbone": 0.3},
                    "schedule": {"kind": "one_cycle"},
                    "restore_best": "val_accuracy",
                },
            ],
        },
    }


def from_scratch(backbone: str, epochs: int, augment: dict[str, Any]) -> dict[str, Any]:
    """A network without pretrained weights, as in the report: Adam, early stopping by validation accuracy."""
    watched = "val_accuracy"
    return {
        "data": {"augment": augment},
        "model": {"backbone": backbone, "weights": "none"},
        "training": {
            "phases": [
                {
                    "name": "all",
                    "epochs": epochs,
                    "lr": 1e-3,
                    "optimizer": ADAM,
                    "early_stopping": {"metric": watched, "patience": max(8, epochs // 8)},
                    "restore_best": watched,
                }
            ]
        },
    }


def plants_from_scratch() -> Study:
    """The report's way: three convolutions, two Inception modules, a pretrained network."""
    return Study(
        name="Plant species: from scratch or fine-tuned",
        base=finetuned(),
        arms={
            "three convolutions": from_scratch(
                "foveate_three_conv", 32, {"preset": "none", "interpolation": "bilinear"}
            ),
            "inception-like": from_scratch("foveate_inception_like", 178, PLANT),
            "fine-tuned": {},
            "fine-tuned on blurred pictures": {"data": {"augment": {"interpolation": "bilinear"}}},
        },
        seeds=SEEDS,
        metrics=METRICS,
    )


def plants_imbalance() -> Study:
    """What helps the two rare species: weights, focal loss, balanced sampling, CutMix, Remix.

    Remix's kappa is 2: the largest species has 2.9 times the pictures of the smallest, so that the paper's 3 would
    leave plain mixup, which is an arm of its own.
    """
    weighted = {"class_weights": "frequency"}
    return Study(
        name="Plant species: what to do about rare classes",
        base=finetuned(),
        arms={
            "plain": {},
            "class weights": {"objective": {"classification": {"kind": "cross_entropy", **weighted}}},
            "focal loss": {"objective": {"classification": {"kind": "focal"}}},
            "balanced sampling": {"training": {"loader": {"sampling": "balanced"}}},
            "CutMix": {"transforms": [{"kind": "cutmix"}]},
            "mixup": {"transforms": [{"kind": "mixup"}]},
            "Remix": {"transforms": [{"kind": "remix", "kappa": 2.0}]},
        },
        seeds=SEEDS,
        metrics=METRICS,
    )


def plants_tta() -> Study:
    """One network of each seed, measured on the picture alone and on several views: nothing is trained twice."""
    return Study(
        name="Plant species: test-time augmentation",
        base=finetuned(),
        arms={
            "one view": {},
            "mirrored": {"evaluation": {"tta": "flip"}},
            "eight views": {"evaluation": {"tta": VIEWS}},
        },
        seeds=SEEDS,
        metrics=("test.accuracy", "test.macro_f1", "test.nll", "val.accuracy"),
    )


def three_stages(ranges: Ranges, trainable: str) -> list[dict[str, Any]]:
    """A phase for each range of the cyclical learning rate; a half cycle is 5 epochs, and goes on over the switch.

    Each phase ends with the best weights so far by validation accuracy.
    """
    watched = "val_accuracy"
    starts = [sum(epochs for epochs, _, _ in ranges[:stage]) for stage in range(len(ranges))]
    return [
        {
            "name": f"stage {stage}",
            "epochs": epochs,
            "trainable": trainable,
            "optimizer": ADAM,
            "lr": high,
            "schedule": {
                "kind": "cyclical", "lower": low, "half_cycle_epochs": 5.0, "offset_epochs": float(start)
            },
            "early_stopping": {"metric": watched, "patience": 8},
            "restore_best": watched,
        }
        for stage, ((epochs, low, high), start) in enumerate(zip(ranges, starts, strict=True), start=1)
    ]  # fmt: skip


def final(backbone: str, ranges: Ranges, trainable: str, size: int | None, views: str) -> dict[str, Any]:
    """The report's last pipeline around any backbone."""
    return {
        "data": {"augment": PLANT, "split": SPLIT, "size": size},
        "model": {"backbone": backbone, "head": {"kind": "mlp"}},
        "training": {"phases": three_stages(ranges, trainable)},
        "evaluation": {"tta": views},
    }


def plants_final() -> Study:
    """The report's last pipeline with a network that fits a laptop, beside the same without its parts.

    Of the backbone's layers 30 % stay frozen, as 87 of 295 did.
    """
    share = "after:30%"
    base = final(BACKBONE, SMALL, share, None, VIEWS)
    phases = range(len(SMALL))
    return Study(
        name="Plant species: the final pipeline",
        base=base,
        arms={
            "as published": {},
            "without views": {"evaluation": {"tta": "none"}},
            "nothing frozen": {f"training.phases.{k}.trainable": "all" for k in phases},
            "head first, one cycle": {
                "training": finetuned()["training"],
                "model": {"head": {"kind": "linear"}},
            },
        },
        seeds=SEEDS,
        metrics=METRICS,
    )


def plants_final_large() -> Study:
    """As published: ConvNeXt-Large, 25,103,040 frozen parameters, views made at 96 px. Needs a GPU.

    Pictures of 96 px are enlarged bicubically to 224, as in the authors' notebook.
    """
    base = final(LARGE, PUBLISHED, "until:stages.2.blocks.4.norm", 224, f"{VIEWS}@96")
    base["data"]["fit"] = "squash_bicubic"
    return Study(
        name="Plant species: ConvNeXt-Large as published",
        base=base,
        arms={"as published": {}, "without views": {"evaluation": {"tta": "none"}}},
        seeds=SEEDS,
        metrics=METRICS,
    )


def plants(*, large: bool = False, seed: int = 0) -> Experiment:
    """One run of the final pipeline: the small backbone, or with ``large`` ConvNeXt-Large as published."""
    study = plants_final_large() if large else plants_final()
    return Experiment.from_dict({**study.base, "seed": seed})
