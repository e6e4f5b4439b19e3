"""python results/label_errors.py DATA WEIGHTS OUT: doubted labels beside labels that were swapped on purpose.

DATA holds the sets. Of each set a share of the labels is swapped for another class at random; a probe on frozen
features doubts labels out of fold, groups and near copies in one fold, and what it doubts is compared with what was
swapped. Wrong labels that the sets brought along count against it. OUT/label_errors.csv has a row a draw; what is there
is kept.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from set_features import set_features
from sklearn.model_selection import StratifiedGroupKFold

from foveate.studies.feature_probes import out_of_fold
from foveate.studies.label_errors import FOLDS, doubts

SETS = (
    "ph2", "wbc1", "cub10", "coffee5", "potato2", "amazonbirds5", "flowers17", "pets37", "plants8", "scene15"
)  # fmt: skip
SHARES = (0.02, 0.05, 0.1)
DRAWS = 5
COLUMNS = (
    "set",
    "pictures",
    "classes",
    "share",
    "draw",
    "probe",
    "at_half",
    "at_all",
    "named",
    "precision",
    "recall",
)


def measured(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, share: float, draw: int
) -> list[float]:
    """Accuracy of the probe on the true labels; precision among the first half as many, and as many, as were swapped;
    how many labels are named, and precision and recall of these."""
    rng = np.random.default_rng((draw, round(1000 * share)))
    swapped = rng.permutation(len(labels))[: max(2, round(share * len(labels)))]
    given, wrong = labels.copy(), np.zeros(len(labels), dtype=bool)
    given[swapped] = (given[swapped] + rng.integers(1, labels.max() + 1, len(swapped))) % (labels.max() + 1)
    wrong[swapped] = True
    folds = np.zeros(len(labels), dtype=np.int64)
    cut = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=draw)
    for fold, (_, test) in enumerate(cut.split(features, given, groups)):
        folds[test] = fold
    probabilities = out_of_fold(features, given, folds)
    named = np.array([doubt.row for doubt in doubts(probabilities, given)], dtype=np.int64)
    count = len(swapped)
    right = float((probabilities.argmax(axis=1) == labels).mean())
    hits = wrong[named]
    return [
        right, hits[: count // 2].sum() / (count // 2), hits[:count].sum() / count, len(named),
        hits.mean() if len(named) else 0.0, hits.sum() / count,
    ]  # fmt: skip


def main(data: Path, weights: str, out: Path) -> None:
    """Measure what is missing, then print the table."""
    file = out / "label_errors.csv"
    rows = list(csv.DictReader(file.open(newline=""))) if file.is_file() else []
    done = {(row["set"], float(row["share"]), int(row["draw"])) for row in rows}
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        if not rows:
            writer.writeheader()
        for name in SETS:
            wanted = [(s, d) for d in range(DRAWS) for s in SHARES if (name, s, d) not in done]
            if not wanted:
                continue
            features, labels, groups = set_features(data / name, weights)
            for share, draw in wanted:
                found = measured(features, labels, groups, share, draw)
                values = [
                    name,
                    len(labels),
                    labels.max() + 1,
                    share,
                    draw,
                    *(f"{value:.4f}" for value in found),
                ]
                writer.writerow(dict(zip(COLUMNS, values, strict=True)))
                stream.flush()
    table(list(csv.DictReader(file.open(newline=""))))


def table(rows: list[dict[str, str]]) -> None:
    """A line a set and share: means over the draws, smallest and largest of one."""
    for key in dict.fromkeys((row["set"], row["share"]) for row in rows):
        own = [row for row in rows if (row["set"], row["share"]) == key]
        mean = {name: float(np.mean([float(row[name]) for row in own])) for name in COLUMNS[5:]}
        low, *_, high = sorted(float(row["at_all"]) for row in own)
        swapped = max(2, round(float(key[1]) * int(own[0]["pictures"])))
        print(
            f"| {key[0]} | {own[0]['pictures']} / {own[0]['classes']} | {mean['probe']:.0%} | {swapped} | "
            f"{mean['at_half']:.2f} | {mean['at_all']:.2f} ({low:.2f} to {high:.2f}) | {mean['named']:.0f} | "
            f"{mean['precision']:.2f} | {mean['recall']:.2f} |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
