"""python results/plants_table.py STUDY[:BASELINE] ...: accuracy, differences and F1 of every species, for each folder.

Figures are read from the runs' predictions; no network is run again. Accuracy: mean ± standard deviation over seeds.
Differences are paired with the baseline, 95 % over seeds and pictures (``compare_pictures``), Holm over the arms. F1:
mean over seeds, with a 95 % interval over the test pictures (percentiles, pictures drawn again, the same in all arms).
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
from wording import flips, p_value, percent, points

from foveate import Run
from foveate.core import rng
from foveate.studies.engine import folder_of
from foveate.studies.picture_comparison import compare_pictures
from foveate.studies.results import StudyResults
from foveate.studies.statistics import holm
from foveate.studies.study_reader import open_study, read_study

DRAWS = 1000


@dataclass(frozen=True)
class Answers:
    """One seed's test pictures."""

    paths: np.ndarray
    label: np.ndarray
    prediction: np.ndarray


def answers(folder: Path) -> dict[str, dict[int, Answers]]:
    """{arm: {seed: answers}}."""
    found: dict[str, dict[int, Answers]] = {}
    for cell in open_study(folder).cells():
        run = Run(folder_of(folder, cell))
        if run.finished:
            rows = run.predictions.of_split("test")
            found.setdefault(cell.arm, {})[cell.seed] = Answers(rows.path, rows.label, rows.prediction)
    return found


def f1_drawn(arms: dict[str, dict[int, Answers]], classes: int) -> dict[str, dict[int, np.ndarray]]:
    """{arm: {seed: (1 + DRAWS, C + 1)}} F1 of each class and their mean; the first row as measured.

    The same draw of pictures in all arms and seeds: a picture that two seeds tested is one picture.
    """
    every = np.unique(np.concatenate([seed.paths for seeds in arms.values() for seed in seeds.values()]))
    generator = rng.numpy_generator("results", "plants", "f1")
    drawn = generator.multinomial(len(every), np.full(len(every), 1 / len(every)), size=DRAWS)
    drawn = np.concatenate([np.ones((1, len(every)), dtype=drawn.dtype), drawn])
    found: dict[str, dict[int, np.ndarray]] = {}
    for arm, seeds in arms.items():
        for number, seed in seeds.items():
            each = _f1(seed, drawn[:, np.searchsorted(every, seed.paths)], classes)
            found.setdefault(arm, {})[number] = np.column_stack([each, each.mean(axis=1)])
    return found


def _f1(seed: Answers, weights: np.ndarray, classes: int) -> np.ndarray:
    """(draws, C) F1 = 2 TP / (pictures of the class + pictures given to it), 0 where that is 0 / 0."""
    true, given = (np.eye(classes)[column] for column in (seed.label, seed.prediction))
    hits, either = weights @ (true * given), weights @ (true + given)
    return 2 * hits / np.maximum(either, 1)


def arms_table(results: StudyResults) -> list[str]:
    """Markdown lines."""
    values = results.values
    compared = {
        arm: compare_pictures(results.pictures[results.baseline], seeds)
        for arm, seeds in results.pictures.items()
        if arm != results.baseline and results.baseline in results.pictures
    }
    adjusted = holm({arm: found.p if found else None for arm, found in compared.items()})
    lines = [
        "| arm | seeds | test accuracy, % | difference, points (95 %) | p (Holm) | gained, lost | balanced, % "
        "| test label loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm in results.arms:
        seeds = list(values.get("test.accuracy", {}).get(arm, {}).values())
        if not seeds:
            lines.append(f"| {arm} | 0 | not run |" + " |" * 5)
            continue
        found, p = compared.get(arm), adjusted.get(arm)
        difference = ""
        if found:
            interval = f" ({points(found.low)} to {points(found.high)})" if found.low is not None else ""
            difference = points(found.difference, "+") + interval
        balanced = list(values.get("test.balanced_accuracy", {}).get(arm, {}).values())
        loss = list(values.get("test.nll", {}).get(arm, {}).values())
        lines.append(
            f"| {arm} | {len(seeds)} | {percent(seeds)} | {difference} | {p_value(p)} | "
            f"{flips(found) if found else ''} | {percent(balanced) if balanced else ''} | {mean(loss):.2f} |"
        )
    return lines


def f1_tables(folder: Path, baseline: str) -> list[str]:
    """Markdown lines: F1 of every arm, then differences from the baseline."""
    study = open_study(folder)
    first = next(Run(folder_of(folder, c)) for c in study.cells() if Run(folder_of(folder, c)).finished)
    names = first.environment["classes"]
    drawn = f1_drawn(answers(folder), len(names))
    means = {arm: np.mean(list(seeds.values()), axis=0) for arm, seeds in drawn.items()}
    pairs = {
        arm: [values - drawn[baseline][seed] for seed, values in seeds.items() if seed in drawn[baseline]]
        for arm, seeds in drawn.items()
        if arm != baseline
    }
    lines = _f1_lines("F1", names, means, "")
    others = {arm: np.mean(found, axis=0) for arm, found in pairs.items() if found}
    return [*lines, "", *_f1_lines(f"F1 less {baseline}", names, others, "+")]


def _f1_lines(title: str, names: list[str], drawn: dict[str, np.ndarray], sign: str) -> list[str]:
    lines = [f"| {title} | " + " | ".join(names) + " | mean |", "|---" * (len(names) + 2) + "|"]
    for arm, values in drawn.items():
        low, high = np.quantile(values[1:], [0.025, 0.975], axis=0)
        cells = [
            f"{v:{sign}.2f} ({a:{sign}.2f} to {b:{sign}.2f})".replace("-", "−")
            for v, a, b in zip(values[0], low, high, strict=True)
        ]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        place, _, baseline = argument.partition(":")
        folder = Path(place)
        (results,) = read_study(folder).values()
        results = replace(results, baseline=baseline or results.baseline)
        print(f"**{folder.name}**\n")
        for part in (arms_table(results), f1_tables(folder, results.baseline)):
            print("\n".join(part), end="\n\n")
