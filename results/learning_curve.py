"""python results/learning_curve.py DATA WEIGHTS OUT: forecasts from a half and a quarter of a set beside the whole.

The set is cut to a share of its pictures at random, groups whole; what the learning curve of that part foretells for 2
and 4 times as many is compared with what the whole set, or its half, gives. OUT/learning_curve.csv has a row a
forecast; what is there is kept.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from set_features import set_features

from foveate.core.intervals import wilson
from foveate.studies.more_pictures import errors_at_sizes, foretell

CHOSEN = ("wbc1", "coffee5", "potato2", "flowers17")
"""Sets on which the width of the band was chosen; the others test it."""
SETS = (*CHOSEN, "amazonbirds5", "cub10", "pets37", "plants8", "scene15")
PARTS = {0.5: ((2, -1),), 0.25: ((2, -2), (4, -1))}
"""{share of the set: (times as many, place among the sizes of the whole)}"""
DRAWS = 2
COLUMNS = ("set", "pictures", "share", "draw", "times", "now", "foretold", "low", "high", "true")


def part_of(labels: np.ndarray, groups: np.ndarray, share: float, draw: int) -> np.ndarray:
    """Rows of a share of each class, groups together."""
    rng = np.random.default_rng((draw, round(100 * share)))
    order = rng.permutation(len(np.unique(groups)))[np.unique(groups, return_inverse=True)[1]]
    rows = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        rows.append(own[np.argsort(order[own], kind="stable")][: round(share * len(own))])
    return np.sort(np.concatenate(rows))


def main(data: Path, weights: str, out: Path) -> None:
    """Measure what is missing, then print the tables."""
    file = out / "learning_curve.csv"
    rows = list(csv.DictReader(file.open(newline=""))) if file.is_file() else []
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        if not rows:
            writer.writeheader()
        for name in SETS:
            if any(row["set"] == name for row in rows):
                continue
            features, labels, groups = set_features(data / name, weights)
            _, whole = errors_at_sizes(features, labels, groups)
            for share, asked in PARTS.items():
                for draw in range(DRAWS):
                    part = part_of(labels, groups, share, draw)
                    if np.bincount(labels[part], minlength=labels.max() + 1).min() < 5 or len(part) < 100:
                        continue
                    sizes, errors = errors_at_sizes(features[part], labels[part], groups[part], seed=draw)
                    for times, place in asked:
                        middle, low, high, _ = foretell(
                            sizes, errors, sizes[-1:] * times, len(part), seed=draw
                        )
                        accuracies = [1 - v for v in (errors.mean(axis=0)[-1], middle[0], high[0], low[0])]
                        values = [*accuracies, 1 - whole.mean(axis=0)[place]]
                        row = [name, len(labels), share, draw, times, *(f"{value:.4f}" for value in values)]
                        writer.writerow(dict(zip(COLUMNS, row, strict=True)))
            stream.flush()
    tables(list(csv.DictReader(file.open(newline=""))))


def tables(rows: list[dict[str, str]]) -> None:
    """A line a forecast, then what they miss by."""
    for row in rows:
        now, foretold, low, high, true = (100 * float(row[name]) for name in COLUMNS[5:])
        print(
            f"| {row['set']} | {float(row['share']) * int(row['pictures']):.0f} | x{row['times']} | {now:.1f} | "
            f"{foretold:.1f} ({low:.1f} to {high:.1f}) | {true:.1f} | {foretold - true:+.1f} | "
            f"{'yes' if low <= true <= high else 'no'} |"
        )
    for title, chosen in (("chosen on", True), ("tested on", False)):
        for times in ("2", "4"):
            own = [row for row in rows if (row["set"] in CHOSEN) == chosen and row["times"] == times]
            if not own:
                continue
            v = {name: np.array([float(row[name]) for row in own]) for name in COLUMNS[5:]}
            inside = int(((v["low"] <= v["true"]) & (v["true"] <= v["high"])).sum())
            low, high = wilson(inside, len(own)) or (0, 1)
            print(
                f"| {title} | x{times} | {len(own)} | {100 * np.abs(v['foretold'] - v['true']).mean():.1f} | "
                f"{100 * np.abs(v['now'] - v['true']).mean():.1f} | {inside} ({low:.0%} to {high:.0%}) | "
                f"{100 * (v['high'] - v['low']).mean():.1f} |"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
