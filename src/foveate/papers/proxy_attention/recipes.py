"""The studies of the Proxy Attention report: its three schedules and grid, on one fixed split a seed, with controls.

What is kept: networks, batch sizes, 40 epochs of AdamW at a constant 8e-5 (the one-cycle schedule was built and never
stepped, but building it set the rate), mirrored and turned by 20 degrees, the last epoch, half of what is left of the
test for training and half for validation. What is mended: one split a seed, a test of its own, several seeds; proxies
are trained on, in place of their originals. Not kept: fp16 with gradient scaling (precision is measured).
"""

import itertools
from typing import Any

from foveate.augmentation import TRANSFORMS
from foveate.experiment.specification import Experiment, merge
from foveate.feedback.proxy_attention import words
from foveate.studies.specification import Study

SEEDS = (0, 1, 2, 3, 4)
NONE: list[Any] = [40]
ONE: list[Any] = [20, "p", 19]
FOUR: list[Any] = [5, "p", 9, "p", 9, "p", 9, "p", 4]
EARLY: list[Any] = [1, "p", 38]
OFTEN: list[Any] = [*(1, "p") * 13, 14]
JUDGE = "eigengradcam"
"""Where a network looks is not judged by the method that made the proxies; the report's own choice."""
METRICS = (
    "test.accuracy",
    "val.accuracy",
    "test.backgrounds.swapped.accuracy",
    "test.backgrounds.removed.accuracy",
    f"test.look.{JUDGE}_energy.mean",
    "test.nll",
    "train_accuracy",
)
ARCHITECTURES: dict[str, tuple[str, int, str]] = {
    "ResNet-18": ("resnet18", 128, "layer4.1.conv2"),
    "ResNet-50": ("resnet50", 32, "layer4.2.conv2"),
    "VGG-16": ("vgg16", 16, "features.28"),
    "EfficientNet-B0": ("efficientnet_b0", 64, "conv_head"),
    "ViT": ("vit_base_patch16_224", 16, "blocks.11.norm1"),
}
"""{name: (backbone, batch size, layer that is explained)}, as published; a ViT's tokens are laid out as a map here."""
SHARES, WEIGHTS, THRESHOLDS = (0.2, 0.5, 0.8, 0.95), (0.1, 0.2, 0.4, 0.8, 0.95), (0.1, 0.2, 0.4, 0.8, 0.85)
FILLS = ("mean", "max", "min", "half_max")
METHODS = ("gradcam", "gradcam++")
PARTNERS: dict[str, dict[str, Any]] = {
    "cut-paste": {"kind": "cut_paste"},
    "background swap": {"kind": "background_swap"},
    "SaliencyMix by Grad-CAM++": {"kind": "saliencymix", "explainer": "gradcam++"},
}
"""What Proxy Attention is combined with: the best two of `augmentation_zoo` as it is recorded (both need masks), and
mixing fed by the very explainer that makes the proxies."""


def base(architecture: str = "ResNet-18", *, faithful: bool = True) -> dict[str, Any]:
    """What all arms share; without ``faithful`` a cosine from 3e-4, sharp turned pictures, the best epoch."""
    backbone, batch, _ = ARCHITECTURES[architecture]
    augment: dict[str, Any] = {"steps": [{"kind": "hflip"}, {"kind": "rotate", "degrees": 20}]}
    augment |= {"fill": "black"} if faithful else {"interpolation": "bicubic"}
    phase: dict[str, Any] = {
        "epochs": 40,
        "lr": 8e-5 if faithful else 3e-4,
        "optimizer": {"kind": "adamw", "weight_decay": 1e-5, "betas": [0.95, 0.999]},
        "restore_best": None,
    }
    if not faithful:
        phase |= {"schedule": {"kind": "cosine"}, "optimizer": {"kind": "adamw"}, "restore_best": "val_loss"}
    return {
        "data": {"size": 224, "augment": augment, "split": {"test": 0.2, "val": 0.4}},
        "model": {"backbone": backbone},
        "training": {"batch_size": batch, "phases": [phase]},
        "evaluation": {"look_methods": [JUDGE]},
    }


def proxies(schedule: list[Any], layer: str | None = None, **settings: Any) -> dict[str, Any]:
    """The feedback, with the values that the thesis recommends."""
    where = {"layer": layer} if layer else {}
    return {"feedback": [{"kind": "proxy_attention", "schedule": schedule, **where, **settings}]}


def leak(schedule: list[Any]) -> dict[str, Any]:
    """No proxies; training and validation pictures drawn anew at every entry, as the published program did."""
    return {"feedback": [{"kind": "leaking_resplit", "schedule": schedule}]}


def proxy_schedules() -> Study:
    """Does it help when nothing leaks? The three schedules, each with a random and the least salient region, and the
    re-split alone.

    "no proxies" is the published schedule [40] and the control without proxies of the others, which train the same.
    """
    arms: dict[str, dict[str, Any]] = {f"no proxies {words(NONE)}": {}}
    for schedule in (ONE, FOUR):
        arms[f"proxies {words(schedule)}"] = proxies(schedule)
        arms[f"random region {words(schedule)}"] = proxies(schedule, region="random")
        arms[f"least salient {words(schedule)}"] = proxies(schedule, region="least_salient")
        arms[f"LEAK: re-split, no proxies {words(schedule)}"] = leak(schedule)
    return Study(
        name="Proxy Attention: schedules and controls", base=base(), arms=arms, seeds=SEEDS, metrics=METRICS
    )


def proxy_grid() -> Study:
    """The grid of the published program as one study that goes on where it stopped: 721 arms for each network.

    Shares x (weights of the blended rule, fills) x thresholds x methods x the two schedules with proxies. Its
    schedules of 100 epochs are left out, and "clear every step", which means no proxies.
    """
    rules: dict[str, dict[str, Any]] = {f"blended {weight:g}": {"weight": weight} for weight in WEIGHTS}
    rules |= {fill: {"rule": fill} for fill in FILLS}
    arms: dict[str, dict[str, Any]] = {f"no proxies {words(NONE)}": {"feedback": []}}
    for schedule, method, share, (name, rule), threshold in itertools.product(
        (ONE, FOUR), METHODS, SHARES, rules.items(), THRESHOLDS
    ):
        label = f"{words(schedule)}, {method}, share {share:g}, {name}, above {threshold:g}"
        changed = {
            "schedule": schedule, "explainer": method, "share": share, "threshold": threshold, **rule
        }  # fmt: skip
        arms[label] = {f"feedback.0.{setting}": value for setting, value in changed.items()}
    return Study(
        name="Proxy Attention: the grid",
        base=merge(base(), proxies(ONE)),
        arms=arms,
        blocks={
            name: {
                "model.backbone": backbone,
                "training.batch_size": batch,
                "feedback.0.layer": layer,
            }
            for name, (backbone, batch, layer) in ARCHITECTURES.items()
        },
        seeds=SEEDS[:1],
        metrics=("test.accuracy", "val.accuracy", f"test.look.{JUDGE}_energy.mean"),
    )


def proxy_dose() -> Study:
    """More proxies than published: all wrong pictures, early, where a network is still often wrong.

    After the second epoch, then kept to the end; or after every other of the first 26, until the next.
    """
    arms: dict[str, dict[str, Any]] = {f"no proxies {words(NONE)}": {}}
    for when, schedule, lifetime in (("kept", EARLY, "end"), ("renewed", OFTEN, "until_next")):
        for name, region in (("proxies", "salient"), ("random region", "random")):
            arms[f"{name}, {when}"] = proxies(schedule, share=1.0, lifetime=lifetime, region=region)
    return Study(name="Proxy Attention: larger doses", base=base(), arms=arms, seeds=SEEDS, metrics=METRICS)


def proxy_combined() -> Study:
    """Proxy Attention with the best two augmentations, and with mixing fed by its own explainer, against each alone.

    All wrong pictures become proxies: the published fifth of them is a handful (`results/proxy_attention.md`).
    """
    made = proxies(FOUR, share=1.0)
    arms: dict[str, dict[str, Any]] = {"plain": {}, "proxies": made}
    for name, transform in PARTNERS.items():
        arms[name] = {"transforms": [transform]}
        arms[f"proxies, {name}"] = arms[name] | made
    return Study(
        name="Proxy Attention: combined with augmentation",
        base=base(),
        arms=arms,
        seeds=SEEDS,
        metrics=METRICS,
    )


def augmentation_zoo() -> Study:
    """Every augmentation of the family against none, each with the settings of its source.

    Batch transforms as `foveate list transforms` has them; those that need masks are left out where pictures have none
    (`--arm`). "balanced sampling", "square-root sampling" and the two curricula are feedbacks.
    """
    arms: dict[str, dict[str, Any]] = {"none": {}}
    arms |= {
        kind: {"transforms": [{"kind": kind}]} for kind in TRANSFORMS if kind not in ("combine", "augmix")
    }
    arms["augmix"] = {
        "transforms": [{"kind": "augmix"}],
        "objective": {"consistency": {"kind": "jensen_shannon"}},
    }
    arms["random_erasing, object"] = {"transforms": [{"kind": "random_erasing", "region": "object"}]}
    arms["keep_augment, paste"] = {"transforms": [{"kind": "keep_augment", "mode": "paste"}]}
    arms["balanced sampling"] = {"feedback": [{"kind": "class_sampling", "power": 0.0}]}
    arms["square-root sampling"] = {"feedback": [{"kind": "class_sampling", "power": 0.5}]}
    arms["curriculum"] = {"feedback": [{"kind": "curriculum"}]}
    arms["curriculum, random order"] = {"feedback": [{"kind": "curriculum", "order": "random"}]}
    return Study(
        name="The augmentations, each against none",
        base=base(faithful=False),
        arms=arms,
        seeds=SEEDS[:3],
        metrics=METRICS,
    )


def proxy_attention(*, architecture: str = "ResNet-18", faithful: bool = False, seed: int = 0) -> Experiment:
    """One run with four p-epochs; ``faithful`` trains as published."""
    settings = merge(
        base(architecture, faithful=faithful),
        proxies(FOUR, ARCHITECTURES[architecture][2] if faithful else None),
    )
    return Experiment.from_dict({**settings, "seed": seed})
