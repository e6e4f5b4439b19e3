"""Every way to use a mask, alone and combined, at several training sizes."""

from foveate.recipes.guides import guidance as guide
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


METRICS = (
    "test.accuracy",
    "test.backgrounds.swapped.accuracy",
    "test.backgrounds.swapped.as_background",
    "test.backgrounds.grey.accuracy",
    "test.backgrounds.noise.accuracy",
    "test.backgrounds.removed.accuracy",
    "test.nll",
    "test.look.energy_in_mask.mean",
)
"""No arm trains on grey or noise behind the object: a gain there is not one of knowing swapped pictures."""


def guidance_study() -> Study:
    """Arms are uses of the masks, blocks are training sizes.

    There is no validation set: both phases have a fixed length and the last epoch is kept, so that an arm cannot gain
    or lose by validation pictures that share the training set's backgrounds.
    """
    return Study(
        name="Ways to use a mask",
        base={
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
                        "epochs": 60,
                        "freeze_bn": "all",
                        "lr": 1e-3,
                        "lr_factors": {"backbone": 0.3},
                        "schedule": {"kind": "one_cycle"},
                        "restore_best": None,
                    },
                ],
            },
        },
        arms={name: guide(name) for name in ARMS},
        blocks={
            f"{size} a class": {"data.split.train_per_class": size, "training.phases.1.epochs": epochs}
            for size, epochs in SIZES.items()
        },
        seeds=(0, 1, 2, 3, 4),
        metrics=METRICS,
    )
