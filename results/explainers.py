"""python results/explainers.py OUT: the tables of results/explainers.md from what results/explainers.sh measured."""

import json
import sys
from pathlib import Path
from typing import Any

LOCALISATION = ("pointing", "energy", "rank_accuracy", "top_k", "auc", "iou_best", "box_50")
FAITHFULNESS = ("deletion", "insertion", "flipping", "road", "drop", "increase", "infidelity")
SANITY = (
    "random_spearman", "random_absolute", "random_ssim", "cascade_spearman", "shift_spearman", "fragile_top_k",
    "fragile_spearman", "noise_spearman", "sensitivity",
)  # fmt: skip


def read(folder: Path) -> dict[str, Any] | None:
    file = folder / "look.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def cell(row: dict[str, Any], name: str) -> str:
    score = row["scores"].get(name)
    if score is None:
        return ""
    if score["low"] is None:
        return f"{score['mean']:.2f}"
    half = max(score["mean"] - score["low"], score["high"] - score["mean"])
    return f"{score['mean']:.2f} ± {half:.2f}"


def table(title: str, found: dict[str, Any] | None, names: tuple[str, ...], by: str) -> None:
    if found is None:
        return
    scores = found["scores"]
    better = [
        scores[name]["title"].replace("|", r"\|") + (" ↓" if scores[name]["better"] == "lower" else "")
        for name in names
    ]
    print(f"\n## {title}\n\n{found['pictures']} pictures, class: {found['target']}.\n")
    print("| method | s a picture | n | " + " | ".join(better) + " |")
    print("|---" * (3 + len(names)) + "|")
    sign = 1 if scores[by]["better"] == "lower" else -1

    def order(entry: tuple[str, dict[str, Any]]) -> tuple[bool, float]:
        row = entry[1]
        return row["kind"] != "method", sign * row["scores"].get(by, {"mean": sign * 1e9})["mean"]

    for name, row in sorted(found["rows"].items(), key=order):
        if any(score in row["scores"] for score in names):
            seconds = row["seconds_per_picture"]
            count = max(row["scores"][score]["n"] for score in names if score in row["scores"])
            shown = name if row["kind"] == "method" else f"*{name}*"
            cells = " | ".join(cell(row, score) for score in names)
            print(f"| {shown} | {'' if seconds is None else f'{seconds:.3f}'} | {count} | {cells} |")


if __name__ == "__main__":
    out = Path(sys.argv[1])
    for network in ("guided", "plain"):
        mark = read(out / f"{network}-mark")
        table(f"{network} network: the mark", mark, LOCALISATION, "auc")
        table(f"{network} network: faithfulness", mark, FAITHFULNESS, "road")
    for name, why in (read(out / "guided-mark") or {"skipped": {}})["skipped"].items():
        print(f"\n`{name}` is left out: {why}")
    table("Guided network: sanity", read(out / "guided-sanity"), SANITY, "random_absolute")
