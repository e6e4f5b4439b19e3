"""A study that never ran: values drawn at random around chosen effects, with histories and predictions."""

from functools import cache

import numpy as np

from foveate.studies.analysis import Analysis, analyse
from foveate.studies.results import Metric, Pictures, StudyResults

METRICS = (
    Metric("test.accuracy", "Test accuracy", percent=True),
    Metric("test.swapped", "Swapped backgrounds", percent=True),
    Metric("test.loss", "Test label loss", better="lower"),
    Metric("convergence_epoch", "Convergence (epoch)", better="lower"),
    Metric("energy_in_mask", "Energy in mask", better="neither", percent=True),
)


def simulate(
    effects: dict[str, float],
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5),
    *,
    pictures: int = 73,
    epochs: int = 30,
    failures: dict[tuple[str, int], str] | None = None,
    axes: dict[str, dict[str, str | float]] | None = None,
    name: str = "guided bees",
    salt: int = 7,
    metrics: int = len(METRICS),
) -> StudyResults:
    """``effects``: {arm: what it adds to the accuracy}; the first arm is the baseline.

    ``metrics``: how many of METRICS.
    """
    rng = np.random.default_rng(salt)
    arms = tuple(effects)
    failures = failures or {}
    shared = rng.normal(0, 0.02, len(seeds))
    difficulty = rng.random(pictures)
    values: dict[str, dict[str, dict[int, float]]] = {m.name: {arm: {} for arm in arms} for m in METRICS}
    predictions: dict[str, dict[int, Pictures]] = {arm: {} for arm in arms}
    histories: dict[str, dict[int, list[dict[str, float]]]] = {arm: {} for arm in arms}
    paths = tuple(f"bee {i:03d}.jpg" for i in range(pictures))
    for arm, effect in effects.items():
        for i, seed in enumerate(seeds):
            if (arm, seed) in failures:
                continue
            level = 0.72 + effect + shared[i] + rng.normal(0, 0.008)
            correct = difficulty < np.clip(level + rng.normal(0, 0.05, pictures), 0, 1)
            last = int(np.clip(epochs - 60 * effect + rng.integers(-5, 6), 5, None))
            predictions[arm][seed] = Pictures(paths, correct)
            values["test.accuracy"][arm][seed] = float(correct.mean())
            values["test.swapped"][arm][seed] = float(level - 0.2 + effect)
            values["test.loss"][arm][seed] = float(1.2 - 2 * (level - 0.72))
            values["convergence_epoch"][arm][seed] = float(last - 3)
            values["energy_in_mask"][arm][seed] = float(np.clip(0.5 + 3 * effect + rng.normal(0, 0.03), 0, 1))
            histories[arm][seed] = [
                {
                    "epoch": float(e),
                    "train_loss": 1.8 * float(np.exp(-e / 9)) + 0.05,
                    "val_loss": 1.9 * float(np.exp(-e / 8)) + 0.9 - effect + 0.02 * float(rng.normal()),
                    "val_accuracy": level * float(1 - np.exp(-e / (6 - 30 * effect)))
                    + 0.01 * float(rng.normal()),
                    "train_share_spatial": 0.1 + 0.5 * e / epochs,
                }
                for e in range(1, last + 1)
            ]
    measured = METRICS[:metrics]
    values = {metric.name: values[metric.name] for metric in measured}
    return StudyResults(
        name, arms, arms[0], seeds, measured, values, predictions, histories, failures, axes or {}
    )  # fmt: skip


@cache
def analysed(arms: int, seeds: int = 3, salt: int = 7, metrics: int = 2) -> tuple[StudyResults, Analysis]:
    """A study of so many arms, ``arm 0`` the baseline, each 2 points better than the one before; computed once."""
    results = simulate(
        {f"arm {i}": 0.02 * i for i in range(arms)},
        tuple(range(1, seeds + 1)),
        epochs=8,
        salt=salt,
        metrics=metrics,
    )
    return results, analyse(results)
