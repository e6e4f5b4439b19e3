"""The demo: insects whose background gives them away in training and not in the test; a plain and a guided network."""

from pathlib import Path
from typing import Any

from foveate.core.files import write_json
from foveate.data.synthetic import SyntheticConfig, write_dataset
from foveate.experiment import Experiment, Run, run
from foveate.studies.guides import guidance
from foveate.studies.specification import Study
from foveate.training import Observer

ARMS = {"plain": "none", "guided": "backgrounds"}
"""Guided is what was measured to work best on this data; results/demo.md holds the comparison."""


def demo_data(seed: int) -> SyntheticConfig:
    """840 pictures of 96 px; in train and val 95 % of each species sit on its own background, in test none is tied."""
    return SyntheticConfig(train=70, val=20, test=50, size=96, tie=0.95, seed=seed)


def demo_experiment(guide: str, seed: int) -> Experiment:
    """A small CNN from scratch, the same in every arm but for the guidance."""
    guide_fields = guidance(guide)
    return Experiment.from_dict(
        {
            "data": {"augment": {"preset": "basic"}},
            "model": {"backbone": "foveate_small_cnn", "weights": "none", **guide_fields.pop("model", {})},
            "training": {
                "phases": [
                    {
                        "name": "scratch",
                        "epochs": 40,
                        "lr": 3e-3,
                        "schedule": {"kind": "one_cycle"},
                        # The validation pictures are as biased as the training pictures, as a user's would be; the
                        # last epoch of a one-cycle schedule is the one it was made for.
                        "restore_best": None,
                    }
                ]
            },
            "seed": seed,
            **guide_fields,
        }
    )


def run_demo(out: Path, seed: int, observer: Observer) -> dict[str, dict[str, Any]]:
    """Draw the pictures into ``out/pictures``, train both arms into ``out/plain`` and ``out/guided``, compare.

    Stopped, it goes on where it was.

    Returns:
        {arm: ``figures``}, which ``out/demo.json`` holds as well.
    """
    from foveate.reporting.report import build_report

    observer.message("Drawing the pictures.")
    config = demo_data(seed)
    pictures = out / "pictures"
    write_dataset(
        pictures, config, progress=lambda done, total: observer.progress("Drawing pictures", done, total)
    )
    arms = {}
    for arm, guide in ARMS.items():
        observer.message(f"Training the {arm} network (guidance: {guide}).")
        finished = run(demo_experiment(guide, seed), pictures, out / arm, observer=observer)
        observer.message("Writing the report.")
        build_report(finished.folder)
        arms[arm] = figures(finished)
    write_json(out / "demo.json", arms)
    return arms


def figures(finished: Run) -> dict[str, Any]:
    """The test figures that the demo compares."""
    metrics = finished.result["metrics"]["test"]
    look = metrics["look"]
    return {
        "accuracy": metrics["accuracy"],
        "accuracy_low": metrics["accuracy_low"],
        "accuracy_high": metrics["accuracy_high"],
        "energy_in_mask": look["energy_in_mask"]["mean"],
        "energy_pictures": look["energy_in_mask"]["n"],
        "energy_chance": look["energy_chance"]["mean"],
        "validation_accuracy": finished.result["metrics"]["val"]["accuracy"],
        "pictures": metrics["n"],
        "seconds": finished.result["wall_seconds"],
    }


GUIDANCES = ("none", "spatial", "class-map", "backgrounds", "backgrounds+class-map")


def shortcut() -> Study:
    """The demo as a study: uses of a mask where the background gives the class away in training and not in the test.

    For the pictures that ``foveate demo`` draws (``demo/pictures``); their splits are given."""
    base = demo_experiment("none", 0).to_dict()
    del base["seed"]
    return Study(
        name="A background that tells the class, in training only",
        base=base,
        arms={name: guidance(name) for name in GUIDANCES},
        split="shared",
        metrics=(
            "test.accuracy",
            "val.accuracy",
            "test.backgrounds.swapped.accuracy",
            "test.look.energy_in_mask.mean",
            "test.nll",
        ),
    )
