"""python results/scenes_table.py STUDIES: the fifteen rows of the report's Table 3 beside ours, and the controls.

STUDIES is what scenes_studies.py wrote. Figures are read from the runs; nothing is computed again.
"""

import csv
import sys
from pathlib import Path
from typing import Any

import yaml

from foveate import Run

REPORT = {
    "Supervised 1": 92.89, "Supervised 2": 91.85, "Supervised 3": 91.35, "Supervised 4": 92.19, "Supervised 5": 70.51,
    "Supervised 6": 72.69, "Supervised Final": 93.00, "Rotation 1": 96.78, "Rotation-classifier 1": 51.82,
    "Rotation-classifier 2": 51.79, "Rotation-classifier 3": 62.98, "Perturbation 1": 100.0,
    "Perturbation-classifier 1": 61.97, "Perturbation-classifier 2": 59.96, "Perturbation-classifier 3": 65.39,
}  # fmt: skip
"""Per cent; of the pictures on which its epochs were chosen."""


def cells(study: Path) -> dict[str, Run]:
    """{arm: its finished run} of one study."""
    if not (study / "cells.csv").is_file():
        return {}
    with open(study / "cells.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    runs = {row["arm"]: Run(study / "cells" / row["cell"]) for row in rows}
    return {arm: run for arm, run in runs.items() if run.finished}


def tasks(study: Path) -> list[tuple[dict[str, Any], str, Run]]:
    """(task, weights it began with, run) of the finished pretext runs of one study."""
    found = []
    for file in sorted((study / "cells").glob("*/experiment.yaml")):
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        run = Run(file.parent)
        if values.get("task") and run.finished:
            found.append((values["task"], values["model"]["weights"], run))
    return found


def shown(metrics: dict[str, Any] | None) -> str:
    """Accuracy and its 95 % interval, per cent."""
    if not metrics:
        return "–"
    low, high = metrics["accuracy_low"], metrics["accuracy_high"]
    return f"{100 * metrics['accuracy']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def fifteen(place: Path) -> list[str]:
    """Markdown lines of Table 3."""
    runs: dict[str, Run] = {}
    for name in ("supervised", "rotation", "perturbation"):
        runs |= cells(place / name)
        if name != "supervised" and (found := tasks(place / name)):
            runs[f"{name.capitalize()} 1"] = found[0][2]
    lines = ["| model | report | test | validation | epochs |", "|---|---:|---:|---:|---:|"]
    for arm, theirs in REPORT.items():
        run = runs.get(arm)
        metrics = run.result["metrics"] if run else {}
        val = metrics.get("val")
        lines.append(
            f"| {arm} | {theirs:.2f} | {shown(metrics.get('test'))} | "
            f"{100 * val['accuracy']:.1f} | {run.result['epochs']} |"
            if run and val
            else f"| {arm} | {theirs:.2f} | not run | – | – |"
        )
    return lines


def controls(place: Path) -> list[str]:
    """Markdown lines: the same head on eight trunks."""
    pretext: dict[tuple[bool, str, bool], Run] = {}
    for task, weights, run in tasks(place / "controls"):
        pretext[weights != "none", task["kind"], bool(task.get("faithful"))] = run
    lines = [
        "| trunk | pretext task, test | linear head, test | k-NN, test | training pictures right |",
        "|---|---:|---:|---:|---:|",
    ]
    for arm, run in cells(place / "controls").items():
        kind = "rotation" if "rotation" in arm else "perturbation"
        first = pretext.get((arm.startswith("ImageNet"), kind, "faulty" in arm)) if "then" in arm else None
        test = run.result["metrics"]["test"]
        asked = f"{100 * first.result['metrics']['test']['accuracy']:.1f}" if first else "–"
        lines.append(
            f"| {arm} | {asked} | {shown(test)} | {100 * test['neighbours']['accuracy']:.1f} | "
            f"{100 * float(run.history[-1]['train_accuracy']):.1f} |"
        )
    return lines


def pairs(place: Path, top: int = 5) -> list[str]:
    """Markdown lines: what the final models confuse most."""
    finals = {
        "Supervised Final": "supervised",
        "Rotation-classifier 3": "rotation",
        "Perturbation-classifier 3": "perturbation",
    }
    lines = []
    for arm, name in finals.items():
        run = cells(place / name).get(arm)
        if run:
            found = run.result["metrics"]["test"]["confused_pairs"][:top]
            text = ", ".join(f"{p['a']}/{p['b']} {p['n']} ({100 * p['share']:.0f} %)" for p in found)
            lines.append(f"- {arm}: {text}")
    return lines


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for part in (fifteen(place), controls(place), pairs(place)):
        print("\n".join(part), end="\n\n")
    for name in ("rotation-drifting", "perturbation-drifting", "supervised-faithful"):
        for arm, run in cells(place / name).items():
            metrics = run.result["metrics"]
            print(f"{name}, {arm}: {shown(metrics.get('test') or metrics['val'])}")
