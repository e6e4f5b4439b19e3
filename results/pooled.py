"""python results/pooled.py METRIC NAME [NAME ...]: arms against the baseline over several recorded studies together.

Reads the cells' values from results/studies/NAME/values.csv. A study's seeds share its pictures, so the data set is the
unit: the mean over its seeds counts once, a paired t over the sets, Holm over the arms that all of them have.
Convergence is compared as a ratio (on logarithms).
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from foveate.studies.statistics import compare, holm

HERE = Path(__file__).parent


def means(name: str, metric: str) -> pd.Series:
    """Mean over the seeds of each arm of one recorded study, the baseline first; of logarithms where epochs count."""
    frame = pd.read_csv(HERE / "studies" / name / "values.csv").query("metric == @metric")
    values = np.log(frame["value"]) if "epoch" in metric else frame["value"]
    return values.groupby(frame["arm"], sort=False).mean()


def main(metric: str, names: list[str]) -> None:
    """Print one line an arm."""
    sets = pd.DataFrame([means(name, metric) for name in names], index=names)
    sets = sets.dropna(axis=1)  # arms that all of them have
    baseline = sets.columns[0]
    found = {arm: compare(sets[baseline], sets[arm]) for arm in sets.columns[1:]}
    adjusted = holm({arm: c.p for arm, c in found.items()})
    show = np.exp if "epoch" in metric else float
    for arm, c in found.items():
        each = ", ".join(f"{show(value):.3f}" for value in sets[arm] - sets[baseline])
        print(
            f"| {arm} | {each} | {show(c.difference):.3f} | {show(c.low):.3f} to {show(c.high):.3f} | {c.p:.2g} "
            f"| {adjusted[arm]:.2g} | {show(c.detectable.seeds):.3f} |"
        )


if __name__ == "__main__":
    print("| arm | each set | mean (ratio for epochs) | 95 % interval | p | p (Holm) | detectable |")
    print("|---|---|---|---|---|---|---|")
    main(sys.argv[1], sys.argv[2:])
