"""python results/pooled.py METRIC NAME [NAME ...]: arms against the baseline over several recorded studies together.

Reads the cells' values from results/studies/NAME/values.csv. Pairs are (study, seed). Convergence is compared as a
ratio (on logarithms). A paired t over all pairs, Holm over the arms.
"""

import csv
import math
import sys
from pathlib import Path

from foveate.studies.statistics import compare, holm

HERE = Path(__file__).parent


def values(name: str, metric: str) -> dict[str, dict[str, float]]:
    """{arm: {seed: value}} of one recorded study."""
    found: dict[str, dict[str, float]] = {}
    with open(HERE / "studies" / name / "values.csv", newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["metric"] == metric:
                found.setdefault(row["arm"], {})[row["seed"]] = float(row["value"])
    return found


def main(metric: str, names: list[str]) -> None:
    """Print one line an arm."""
    ratio = "epoch" in metric
    pairs: dict[str, tuple[list[float], list[float]]] = {}
    for name in names:
        arms = values(name, metric)
        baseline = next(iter(arms))
        for arm, by_seed in arms.items():
            for seed in by_seed if arm != baseline else ():
                ours, theirs = pairs.setdefault(arm, ([], []))
                change = math.log if ratio else float
                ours.append(change(arms[baseline][seed]))
                theirs.append(change(by_seed[seed]))
    found = {arm: compare(*both) for arm, both in pairs.items()}
    adjusted = holm({arm: c.p for arm, c in found.items()})
    for arm, c in found.items():
        show = math.exp if ratio else float
        print(
            f"| {arm} | {c.n} | {show(c.difference):.3f} | {show(c.low):.3f} to {show(c.high):.3f} | {c.p:.2g} "
            f"| {adjusted[arm]:.2g} | {show(c.detectable.seeds):.3f} |"
        )


if __name__ == "__main__":
    print("| arm | pairs | difference (ratio for epochs) | 95 % interval | p | p (Holm) | detectable |")
    print("|---|---|---|---|---|---|---|")
    main(sys.argv[1], sys.argv[2:])
