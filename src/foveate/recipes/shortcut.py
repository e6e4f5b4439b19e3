"""The demo as a study: uses of a mask where the background gives the class away in training and not in the test."""

from foveate.recipes.demo import demo_experiment
from foveate.recipes.guides import guidance as guide
from foveate.studies.specification import Study

ARMS = ("none", "spatial", "class-map", "backgrounds", "backgrounds+class-map")


def shortcut() -> Study:
    """For the pictures that ``foveate demo`` draws (``demo/pictures``); their splits are given."""
    base = demo_experiment("none", 0).to_dict()
    del base["seed"]
    return Study(
        name="A background that tells the class, in training only",
        base=base,
        arms={name: guide(name) for name in ARMS},
        split="shared",
        metrics=(
            "test.accuracy",
            "val.accuracy",
            "test.backgrounds.swapped.accuracy",
            "test.look.energy_in_mask.mean",
            "test.nll",
        ),
    )
