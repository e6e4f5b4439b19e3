"""python results/scenes_table.py STUDIES: the fifteen rows of the report's Table 3 beside ours, and the controls.

STUDIES is what scenes_studies.py wrote. Figures are read from the runs; no network is run again.
"""

import sys
from pathlib import Path
from typing import Any

import yaml
from wording import flips, p_value, percent, points

from foveate import Run
from foveate.evaluation.summary import confused_pairs
from foveate.reporting.study_confusion import confusions
from foveate.studies.engine import folder_of
from foveate.studies.picture_comparison import compare_pictures
from foveate.studies.study_reader import open_study, read_study

REPORT = {
    "Supervised 1": 92.89, "Supervised 2": 91.85, "Supervised 3": 91.35, "Supervised 4": 92.19, "Supervised 5": 70.51,
    "Supervised 6": 72.69, "Supervised Final": 93.00, "Rotation 1": 96.78, "Rotation-classifier 1": 51.82,
    "Rotation-classifier 2": 51.79, "Rotation-classifier 3": 62.98, "Perturbation 1": 100.0,
    "Perturbation-classifier 1": 61.97, "Perturbation-classifier 2": 59.96, "Perturbation-classifier 3": 65.39,
}  # fmt: skip
"""Per cent; of the pictures on which its epochs were chosen."""


FINALS = {
    "Supervised Final": "supervised",
    "Rotation-classifier 3": "rotation",
    "Perturbation-classifier 3": "perturbation",
}
PAIRS = [
    *(
        ("supervised", f"Supervised {k}", "supervised", f"Supervised {m}")
        for k, m in ((2, 1), (3, 2), (4, 2))
    ),
    ("supervised", "Supervised Final", "supervised", "Supervised 1"),
    ("rotation", "Rotation-classifier 2", "rotation", "Rotation-classifier 1"),
    ("rotation", "Rotation-classifier 1", "rotation", "Rotation-classifier 3"),
    ("perturbation", "Perturbation-classifier 2", "perturbation", "Perturbation-classifier 1"),
    ("perturbation", "Perturbation-classifier 1", "perturbation", "Perturbation-classifier 3"),
    ("perturbation", "Perturbation-classifier 3", "rotation", "Rotation-classifier 3"),
    ("controls", "ImageNet, then rotation", "controls", "ImageNet"),
    ("controls", "ImageNet, then perturbation", "controls", "ImageNet"),
    ("controls", "ImageNet, then faulty perturbation", "controls", "ImageNet"),
    ("controls-random", "random, then rotation", "controls", "random"),
    ("controls-random", "random, then perturbation", "controls", "random"),
    ("controls-random", "random, then faulty perturbation", "controls", "random"),
    *(
        ("supervised", f"Supervised {k}", "supervised-blurred", f"Supervised {k}")
        for k in (2, 3, 4, 5, 6, "Final")
    ),
    *(
        ("rotation", f"Rotation-classifier {k}", "rotation-blurred", f"Rotation-classifier {k}")
        for k in (1, 2)
    ),
    *(
        (
            "perturbation",
            f"Perturbation-classifier {k}",
            "perturbation-blurred",
            f"Perturbation-classifier {k}",
        )
        for k in (1, 2)
    ),
    ("supervised", "Supervised Final", "controls", "ImageNet"),
    ("supervised-untrained", "Supervised Final", "supervised-blurred", "Supervised Final"),
    ("rotation-drifting", "Rotation-classifier 3", "rotation", "Rotation-classifier 3"),
    ("perturbation-drifting", "Perturbation-classifier 3", "perturbation", "Perturbation-classifier 3"),
]
"""(study, arm, study, the arm it is compared with)."""


def cells(study: Path) -> dict[str, list[Run]]:
    """{arm: its finished runs, a seed each} of one study."""
    found: dict[str, list[Run]] = {}
    if (study / "study.yaml").is_file():
        for cell in open_study(study).cells():
            run = Run(folder_of(study, cell))
            if run.finished:
                found.setdefault(cell.arm, []).append(run)
    return found


def tasks(place: Path) -> dict[tuple[bool, str, bool], list[Run]]:
    """{(began with ImageNet weights, task, with the published faults): finished pretext runs} of all studies."""
    found: dict[tuple[bool, str, bool], dict[str, Run]] = {}
    for file in sorted(place.glob("*/cells/*/experiment.yaml")):
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        task, run = values.get("task"), Run(file.parent)
        if task and run.finished and values["data"]["split"].get("judge", "test") == "test":
            key = values["model"]["weights"] != "none", task["kind"], bool(task.get("faithful"))
            found.setdefault(key, {})[file.parent.name] = run  # several studies share a pretext run
    return {key: list(runs.values()) for key, runs in found.items()}


def accuracy(runs: list[Run], split: str = "test", *, neighbours: bool = False) -> str:
    """Of one arm; with one seed the 95 % interval over the test pictures instead of the deviation."""
    found = [run.result["metrics"].get(split) or {} for run in runs]
    found = [metrics.get("neighbours") or {} for metrics in found] if neighbours else found
    found = [metrics for metrics in found if metrics.get("accuracy") is not None]
    if len(found) == 1 and "accuracy_low" in found[0] and split == "test":
        low, high = found[0]["accuracy_low"], found[0]["accuracy_high"]
        return f"{100 * found[0]['accuracy']:.1f} ({100 * low:.1f} to {100 * high:.1f})"
    return percent([metrics["accuracy"] for metrics in found]) if found else "–"


def fifteen_runs(place: Path) -> dict[str, list[Run]]:
    """{row of Table 3: finished runs}."""
    studies = [cells(place / name) for name in ("supervised", "rotation", "perturbation")]
    runs = {arm: found for study in studies for arm, found in study.items()}
    pretext = tasks(place)
    for name in ("rotation", "perturbation"):
        runs[f"{name.capitalize()} 1"] = pretext.get((True, name, False), [])
    return runs


def fifteen(place: Path) -> list[str]:
    """Markdown lines of Table 3."""
    runs = fifteen_runs(place)
    lines = [
        "| model | report | test | validation | training | epochs | seeds |",
        "|---|---:|---:|---:|---:|---|---:|",
    ]
    for arm, theirs in REPORT.items():
        found = runs.get(arm) or []
        if not found:
            lines.append(f"| {arm} | {theirs:.2f} | not run | – | – | – | 0 |")
            continue
        learnt = percent([float(run.history[-1]["train_accuracy"]) for run in found])
        epochs = ", ".join(str(run.result["epochs"]) for run in found)
        shown = f"{accuracy(found)} | {accuracy(found, 'val')} | {learnt} | {epochs} | {len(found)}"
        lines.append(f"| {arm} | {theirs:.2f} | {shown} |")
    return lines


def controls(place: Path) -> list[str]:
    """Markdown lines: the same head on eight backbones."""
    pretext = tasks(place)
    lines = [
        "| backbone | pretext task, test | linear head, test | k-NN, test | training | seeds |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for arm, runs in (cells(place / "controls") | cells(place / "controls-random")).items():
        kind = "rotation" if "rotation" in arm else "perturbation"
        first = pretext.get((arm.startswith("ImageNet"), kind, "faulty" in arm), []) if "then" in arm else []
        learnt = percent([float(run.history[-1]["train_accuracy"]) for run in runs])
        shown = f"{accuracy(runs)} | {accuracy(runs, neighbours=True)} | {learnt} | {len(runs)}"
        lines.append(f"| {arm} | {accuracy(first)} | {shown} |")
    return lines


def differences(place: Path) -> list[str]:
    """Markdown lines: pairs of arms on the same test pictures and seeds."""
    answers: dict[str, Any] = {}
    for name in {name for pair in PAIRS for name in (pair[0], pair[2])}:
        if (place / name / "study.yaml").is_file():
            answers[name] = {
                arm: seeds
                for found in read_study(place / name).values()
                for arm, seeds in found.pictures.items()
            }
    lines = [
        "| | points | 95 %, seeds and pictures | gained and lost pictures, each seed | largest p, McNemar |",
        "|---|---:|---|---|---:|",
    ]
    for study, arm, other, baseline in PAIRS:
        ours, theirs = answers.get(study, {}).get(arm), answers.get(other, {}).get(baseline)
        found = compare_pictures(theirs, ours) if ours and theirs else None
        if found is None:
            continue
        interval = "one seed" if found.low is None else f"{points(found.low)} to {points(found.high)}"
        judged = p_value(max(one.p for one in found.by_seed.values()))
        name, base = (f"{arm} ({study})", f"({other})") if arm == baseline else (arm, baseline)
        lines.append(
            f"| {name} less {base} | {points(found.difference, '+')} | {interval} | {flips(found)} | {judged} |"
        )
    return lines


def pairs(place: Path, top: int = 5) -> list[str]:
    """Markdown lines: what the final models confuse most, over all seeds."""
    lines = []
    for arm, name in FINALS.items():
        if not (place / name / "study.yaml").is_file():
            continue
        for found in confusions(open_study(place / name), place / name):
            if found.arm == arm:
                shown = confused_pairs(found.counts, found.classes)[:top]
                text = ", ".join(f"{p['a']}/{p['b']} {p['n']} ({100 * p['share']:.0f} %)" for p in shown)
                lines.append(f"- {arm}: {text}")
    return lines


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for part in (fifteen(place), controls(place), differences(place), pairs(place)):
        print("\n".join(part), end="\n\n")
    others = (
        "supervised-blurred",
        "rotation-blurred",
        "perturbation-blurred",
        "supervised-faithful",
        "supervised-untrained",
        "rotation-drifting",
        "perturbation-drifting",
    )
    for name in others:
        for arm, runs in cells(place / name).items():
            judged = "test" if "test" in runs[0].result["metrics"] else "val"
            print(f"{name}, {arm}: {judged} {accuracy(runs, judged)}")
