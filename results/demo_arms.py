"""python results/demo_arms.py OUT [ARM ...]: the demo's pictures and network under every use of the masks, five seeds.

Prints one line a run; results/demo.md is made of them. Precision is fixed, so that all arms compute alike.
"""

import sys
from pathlib import Path

from foveate import Experiment
from foveate.data.synthetic import write_dataset
from foveate.experiment import run
from foveate.experiment.specification import assign
from foveate.recipes.demo import demo_data, demo_experiment, figures

RECTIFIED = ("objective.look.aggregate=gradcam", "objective.look.normalise=none")
"""The class map's energy as published: of Grad-CAM after its ReLU."""
ARMS = {
    **{
        guide: (guide, ())
        for guide in ("none", "spatial", "class-map", "backgrounds", "backgrounds+class-map")
    },
    "class-map-1": ("class-map", ("objective.look.weight=1.0",)),
    "rectified-1": ("class-map", ("objective.look.weight=1.0", *RECTIFIED)),
    "backgrounds+rectified": ("backgrounds+class-map", RECTIFIED),
    "other-class": ("backgrounds", ("transforms.0.source=other_class",)),
    "rim": ("backgrounds", ("transforms.0.grow=2",)),
}
"""{name: (guide, settings changed)}."""
SEEDS = range(5)

if __name__ == "__main__":
    out = Path(sys.argv[1])
    for seed in SEEDS:
        pictures = out / f"pictures{seed}"
        write_dataset(pictures, demo_data(seed))
        for arm in sys.argv[2:] or ARMS:
            guide, changed = ARMS[arm]
            values = assign(demo_experiment(guide, seed).to_dict(), "training.precision=bf16")
            for change in changed:
                values = assign(values, change)
            test = figures(run(Experiment.from_dict(values), pictures, out / f"{arm}{seed}"))
            print(
                f"{arm} seed {seed}: validation {test['validation_accuracy']:.3f}, test {test['accuracy']:.3f}, "
                f"energy in mask {test['energy_in_mask']:.2f} (n = {test['energy_pictures']})",
                flush=True,
            )
