"""python results/collect.py RUNS: the table of results/foundation.md from the run folders that foundation.sh made."""

import sys
from pathlib import Path

from foveate import Run


def row(folder: Path) -> str:
    """One Markdown row of test figures."""
    run = Run.open(folder)
    test = run.result["metrics"]["test"]
    look = test["look"] or {}
    energy = look.get("energy_in_mask", {}).get("mean")
    chance = look.get("energy_chance", {}).get("mean")
    counts = "/".join(str(len(run.catalog.indices(name))) for name in ("train", "val", "test"))
    where = f"{energy:.2f} ({chance:.2f})" if energy is not None else "-"
    return (
        f"| {folder.name} | {len(run.catalog.classes)} | {counts} | {len(run.environment['quarantined'])} "
        f"| **{test['accuracy']:.3f}** | {test['accuracy_low']:.3f} to {test['accuracy_high']:.3f} "
        f"| {test['balanced_accuracy']:.3f} | {test['macro_f1']:.3f} | {test['ece']:.3f} "
        f"| {test['chance_majority']:.3f} | {where} | {run.result['epochs']} | {run.result['wall_seconds'] / 60:.1f} |"
    )


if __name__ == "__main__":
    print(
        "| set | classes | train/val/test | quarantined | test accuracy | 95 % interval | balanced | macro F1 | ECE "
        "| majority class | energy in mask (chance) | epochs | minutes |"
    )
    print("|---|" + "---:|" * 12)
    for name in sys.argv[1:]:
        for folder in sorted(Path(name).iterdir()):
            if Run.open(folder).finished:
                print(row(folder))
