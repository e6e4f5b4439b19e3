"""Studies of guidance: the recommended guide and its placebo, controls, every use of a mask, few masks, sizes."""

from typing import Any

from foveate.experiment.specification import merge
from foveate.studies.guides import guidance as guide
from foveate.studies.guides import with_guides
from foveate.studies.results import SWAPPED
from foveate.studies.specification import Study

SIZES = {10: 60, 20: 60, 50: 40, 200: 15}
"""{training pictures a class: epochs of the second phase}; data sets with fewer use what they have (the run says so).

Small sets need more epochs for enough steps: with 20 epochs the networks that saw swapped backgrounds had not learnt
their 40 training pictures.
"""
ARMS = (
    "none",
    "spatial",
    "dice",
    "class-map",
    "right-reasons",
    "attention-mining",
    "blurred",
    "backgrounds-half",
    "backgrounds",
    "backgrounds+spatial",
    "backgrounds+class-map",
    "backgrounds-half+class-map",
)
"""Names of GUIDES, joined with "+" where they are combined."""
RECOMMENDED = "backgrounds"
OTHERS = ("counterfactual", "attention-branch")
LAST_LAYERS: dict[str, dict[str, Any]] = {
    "swapped": {"last_layer": {"kind": "swapped", "strengths": [0.01], "rule": "last_epoch"}},
    "ridge": {"last_layer": {"kind": "ridge", "rule": "leave_one_out"}},
    # These two have pictures more than the others: a tenth, to validate on.
    "afr": {"last_layer": {"kind": "afr"}, "data.split.val": 0.1},
    "self": {"last_layer": {"kind": "self"}, "data.split.val": 0.1},
}
SEEDS = (0, 1, 2, 3, 4)

METRICS = (
    "test.accuracy",
    "test.backgrounds.swapped.accuracy",
    "test.backgrounds.swapped.as_background",
    "test.backgrounds.grey.accuracy",
    "test.backgrounds.noise.accuracy",
    "test.backgrounds.removed.accuracy",
    "test.nll",
    "test.look.energy_in_mask.mean",
    "test.look.energy_in_mask.empty",
)
"""No arm trains on grey or noise behind the object: a gain there is not one of knowing swapped pictures."""
UNLIKE = {"evaluation": {"measures": ["look", "backgrounds", "textures", "moved_object"]}}
"""Measured besides: no arm trains on such pictures either."""
UNLIKE_METRICS = (
    "test.backgrounds.original.accuracy",
    "test.textures.accuracy",
    "test.textures.consistent",
    "test.moved_object.accuracy",
    "test.moved_object.consistent",
)
BUDGETS: dict[str, Any] = {
    "10 masks": 10,
    "50 masks": 50,
    "all masks": "all",
    "boxes": "boxes",
    "10 masks, others learned": {"learned": 10},
    "50 masks, others learned": {"learned": 50},
}
"""{arm: the masks that training sees}."""


def base(epochs: int) -> dict[str, Any]:
    """What all arms share.

    There is no validation set: both phases have a fixed length and the last epoch is kept, so that an arm cannot gain
    or lose by validation pictures that share the training set's backgrounds.

    Args:
        epochs: of the second phase.
    """
    return {
        "data": {
            "augment": {"preset": "standard", "interpolation": "bicubic"},
            "split": {"val": 0, "test": 0.3},
        },
        "model": {"backbone": "mobilenetv3_small_100"},
        "training": {
            "batch_size": 16,
            "clip": 1.0,
            "phases": [
                {"name": "head", "epochs": 10, "trainable": "head", "lr": 2e-3, "restore_best": None},
                {
                    "name": "all",
                    "epochs": epochs,
                    "freeze_bn": "all",
                    "lr": 1e-3,
                    "lr_factors": {"backbone": 0.3},
                    "schedule": {"kind": "one_cycle"},
                    "restore_best": None,
                },
            ],
        },
    }


def guidance_small() -> Study:
    """Does the recommended guide help on your pictures, and more than with other pictures' masks?"""
    return Study(
        name="Guidance, and its placebo",
        base=base(20),
        arms=with_guides({name: {"guide": name} for name in ("none", RECOMMENDED)}),
        seeds=SEEDS,
        metrics=METRICS,
    )


def guidance_all() -> Study:
    """Every use of the masks, alone and combined, at several training sizes."""
    return Study(
        name="Ways to use a mask",
        base=base(60),
        arms={name: guide(name) for name in ARMS},
        blocks=_sizes(),
        seeds=SEEDS,
        metrics=METRICS,
    )


def _sizes() -> dict[str, dict[str, Any]]:
    return {
        f"{size} a class": {"data.split.train_per_class": size, "training.phases.1.epochs": epochs}
        for size, epochs in SIZES.items()
    }


def guidance_sizes() -> Study:
    """Does the recommended guide help with few training pictures, and with many?"""
    return Study(
        name="Guidance at several training sizes",
        base=merge(base(60), UNLIKE),
        arms=with_guides({name: {"guide": name} for name in ("none", RECOMMENDED)}),
        blocks=_sizes(),
        seeds=SEEDS,
        metrics=(*METRICS, *UNLIKE_METRICS),
        primary=SWAPPED,
        primary_arm=RECOMMENDED,
    )


def guidance_budget() -> Study:
    """How many masks does the recommended guide need, and how good must they be? Each budget beside its placebo.

    For about 200 training pictures (``data.split.train_per_class``): 50 masks are then few.
    """
    arms: dict[str, dict[str, Any]] = {"none": {"guide": "none"}}
    arms |= {arm: {"guide": RECOMMENDED, "data.masks.use": use} for arm, use in BUDGETS.items()}
    return Study(
        name="Guidance from few masks",
        base=merge(base(30), UNLIKE),
        arms=with_guides(arms),
        seeds=tuple(range(10)),
        metrics=(*METRICS, *UNLIKE_METRICS),
        primary=SWAPPED,
        margin={"test.accuracy": 1.0},
    )


def total_shortcut() -> Study:
    """The background is the class in training, and not in the test: what can help where no picture breaks the rule?

    For pictures whose splits are given and whose attribute ``background`` is known (``results/total_shortcut.py`` makes
    such sets). Reweighting has nothing to weigh here, so this is a control of every arm that uses no mask.
    """
    whole = merge(base(30), UNLIKE)
    first = {**whole["training"]["phases"][1], "name": "first", "epochs": 5}
    whole = merge(whole, {"data": {"layout": {"attributes": ["background"]}}})
    arms = with_guides(
        {
            "none": {"guide": "none"},
            "backgrounds": {"guide": "backgrounds"},
            "cut-out": {"guide": "cut-out"},
            "group-dro": {"objective": {"classification": {"kind": "group_dro", "attribute": "background"}}},
            "dfr": {"last_layer": {"kind": "dfr", "attribute": "background"}},
            "afr": {"last_layer": {"kind": "afr"}},
            "self": {"last_layer": {"kind": "self"}},
            "jtt": {
                "feedback": [{"kind": "jtt", "epoch": first["epochs"]}],
                "training.phases": [first, *whole["training"]["phases"]],
            },
        }
    )
    return Study(
        name="A background that is the class, in training",
        base=whole,
        arms=arms,
        split="shared",
        seeds=SEEDS,
        metrics=(
            "test.accuracy", "test.worst_group_accuracy", "val.accuracy", SWAPPED,
            "test.backgrounds.swapped.as_background", "test.backgrounds.removed.accuracy",
            "test.look.energy_in_mask.mean", *UNLIKE_METRICS,
        ),
        primary="test.accuracy",
    )  # fmt: skip


def guidance_controls() -> Study:
    """Uses of the masks beside what could prove them wrong: other pictures' masks, the whole picture as mask; and last
    layers fitted again, which need no masks (but ``swapped``)."""
    with_placebo = ("backgrounds", "class-map", "backgrounds+class-map", "spatial", "cut-out")
    arms = with_guides(
        {name: {"guide": name, "placebo": name in with_placebo} for name in ("none", *with_placebo, *OTHERS)}
    )
    for name in ("class-map", "spatial"):
        arms[f"{name}, whole picture"] = {**guide(name), "data.masks.use": "whole"}
    arms |= {f"last layer, {kind}": settings for kind, settings in LAST_LAYERS.items()}
    return Study(name="Guidance and its controls", base=base(60), arms=arms, seeds=SEEDS, metrics=METRICS)
