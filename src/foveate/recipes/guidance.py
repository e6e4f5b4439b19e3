"""Every way to use a mask, alone and combined, at several training sizes."""

from foveate.recipes.guides import guidance as guide
from foveate.studies.specification import Study

SIZES = (10, 20, 50, 200)
"""Training pictures a class; data sets with fewer use what they have (the run says so)."""
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
    "test.backgrounds.removed.accuracy",
    "test.nll",
    "test.look.energy_in_mask.mean",
)


def guidance_study(sizes: tuple[int, ...] = SIZES) -> Study:
    """Arms are uses of the masks, blocks are training sizes.

    Validation pictures decide nothing: both phases have a fixed length and the last epoch is kept, so that an arm
    cannot gain or lose by a validation set that shares the training set's backgrounds.
    """
    return Study(
        name="Ways to use a mask",
        base={
            # 30 % test: swapped backgrounds are judged on as many pictures as the training sizes leave.
            "data": {"augment": {"preset": "standard"}, "split": {"val": 0.1, "test": 0.3}},
            "model": {"backbone": "mobilenetv3_small_100"},
            "training": {
                "batch_size": 16,
                "clip": 1.0,
                "phases": [
                    {"name": "head", "epochs": 10, "trainable": "head", "lr": 2e-3, "restore_best": None},
                    {
                        "name": "all",
                        "epochs": 20,
                        "freeze_bn": "all",
                        "lr": 1e-3,
                        "lr_factors": {"backbone": 0.3},
                        "schedule": {"schedule": "one_cycle"},
                        "restore_best": None,
                    },
                ],
            },
        },
        arms={name: guide(name) for name in ARMS},
        blocks={f"{size} a class": {"data.split.train_per_class": size} for size in sizes},
        seeds=(0, 1, 2, 3, 4),
        metrics=METRICS,
    )
