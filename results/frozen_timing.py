"""python results/frozen_timing.py DATA WEIGHTS OUT: 50 epochs of a head on a frozen trunk, stored or re-run.

Both runs are the same experiment (linear head, no augmentation, 64 px). The second is kept from storing features and
trained for two epochs only, since every epoch of it costs the same.
"""

import sys
from pathlib import Path
from typing import Any

from foveate.experiment import Experiment, Run, run
from foveate.training import setup

EPOCHS, RERUN = 50, 2


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


def seconds(found: Run) -> list[float]:
    """Of every epoch, validation included."""
    return [float(row["seconds"]) for row in found.history]


if __name__ == "__main__":
    data, weights, out = map(Path, sys.argv[1:4])
    limit = setup.FEATURE_LIMIT
    stored = run(experiment(weights, EPOCHS), data, out / "stored", quarantine=True)
    setup.FEATURE_LIMIT = 0
    rerun = run(experiment(weights, RERUN), data, out / "rerun", quarantine=True)
    setup.FEATURE_LIMIT = limit
    again = [r["val_loss"] for r in rerun.history]
    same = [r["val_loss"] for r in stored.history[:RERUN]]
    once, each = sum(seconds(stored)), sum(seconds(rerun)) / RERUN
    decisions = {d["name"]: d for d in rerun.environment["decisions"]}
    print(f"re-running: {decisions['features: head']['value']}; validation losses {again} (stored: {same})")
    print(f"stored: {EPOCHS} epochs in {once:.1f} s, {1000 * once / EPOCHS:.0f} ms an epoch")
    print(f"re-running the trunk: {each:.1f} s an epoch, {EPOCHS * each:.0f} s for {EPOCHS}")
    print(f"pictures: {len(stored.catalog.indices('train'))} train, {len(stored.catalog.indices('val'))} val")
