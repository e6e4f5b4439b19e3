"""python results/frozen_timing.py DATA WEIGHTS OUT: 50 epochs of a head on a frozen backbone, stored features or not.

Both runs are the same experiment (linear head, no augmentation, 64 px). The second is kept from storing features and
trained for two epochs only, since every epoch of it costs the same. Seconds are those of the processor, so that other
programs on the machine do not count.
"""

import sys
import time
from pathlib import Path
from typing import Any

from foveate.experiment import Experiment, Run, run
from foveate.training import Decision, Observer, phase_plan

EPOCHS, RERUN = 50, 2


class Clock(Observer):
    """Processor seconds of what comes before the first epoch (the features), and of every epoch with its validation."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def decision(self, decision: Decision) -> None:
        if decision.name == "features: head":
            self.times = [time.process_time()]

    def phase(self, name: str, epochs: int, steps: int) -> None:
        self.times.append(time.process_time())

    def epoch(self, row: dict[str, Any]) -> None:
        self.times.append(time.process_time())

    @property
    def before(self) -> float:
        return self.times[1] - self.times[0]

    @property
    def epochs(self) -> float:
        return self.times[-1] - self.times[1]


def experiment(weights: Path, epochs: int) -> Experiment:
    """A linear probe."""
    phase: dict[str, Any] = {
        "name": "head",
        "epochs": epochs,
        "trainable": "head",
        "optimizer": {"name": "adam", "weight_decay": 0.0},
        "restore_best": None,
    }
    return Experiment.from_dict(
        {
            "data": {"size": 64, "augment": "none"},
            "model": {"weights": str(weights)},
            "training": {"phases": [phase], "precision": "fp32_channels_last"},
            "evaluation": {"splits": ["val"]},
        }
    )


def timed(weights: Path, epochs: int, data: Path, out: Path) -> tuple[Run, Clock]:
    """A run and its clock."""
    clock = Clock()
    return run(experiment(weights, epochs), data, out, quarantine=True, observer=clock), clock


if __name__ == "__main__":
    data, weights, out = map(Path, sys.argv[1:4])
    stored, quick = timed(weights, EPOCHS, data, out / "stored")
    phase_plan.FEATURE_LIMIT = 0
    rerun, slow = timed(weights, RERUN, data, out / "rerun")
    losses = [[row["val_loss"] for row in found.history[:RERUN]] for found in (stored, rerun)]
    each = slow.epochs / RERUN
    print(f"validation losses of the first epochs: stored {losses[0]}, re-run {losses[1]}")
    print(f"stored: features {quick.before:.1f} s, then {EPOCHS} epochs in {quick.epochs:.1f} s")
    print(f"re-run: {each:.1f} s an epoch, so {EPOCHS * each:.0f} s for {EPOCHS}")
    print(f"ratio {EPOCHS * each / (quick.before + quick.epochs):.0f} with the features, "
          f"{EPOCHS * each / quick.epochs:.0f} for the epochs alone")  # fmt: skip
