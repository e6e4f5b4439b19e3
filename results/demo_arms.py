"""python results/demo_arms.py OUT: the demo's pictures and network under every use of the masks, five random seeds.

Prints one line a run; results/demo.md is made of them. Precision is fixed, so that all arms compute alike.
"""

import sys
from pathlib import Path

from foveate import Experiment
from foveate.data.synthetic import write_dataset
from foveate.experiment import run
from foveate.experiment.specification import assign
from foveate.recipes.demo import demo_data, demo_experiment, figures

ARMS = ("none", "spatial", "class-map", "backgrounds", "backgrounds+class-map")
SEEDS = range(5)

if __name__ == "__main__":
    out = Path(sys.argv[1])
    for seed in SEEDS:
        pictures = out / f"pictures{seed}"
        write_dataset(pictures, demo_data(seed))
        for arm in ARMS:
            values = assign(demo_experiment(arm, seed).to_dict(), "training.precision=bf16")
            test = figures(run(Experiment.from_dict(values), pictures, out / f"{arm}{seed}"))
            print(
                f"{arm} seed {seed}: validation {test['validation_accuracy']:.3f}, test {test['accuracy']:.3f}, "
                f"energy in mask {test['energy_in_mask']:.2f} (n = {test['energy_pictures']})",
                flush=True,
            )
