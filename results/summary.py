"""python results/summary.py NAME METRIC ...: a compact Markdown table from results/studies/NAME/comparisons.csv.

A cell is mean ± standard deviation; below the baseline also the paired difference with its 95 % interval, and an
asterisk where p after Holm is 0.05 or less. Accuracies in per cent.
"""

import csv
import sys
from pathlib import Path

HERE = Path(__file__).parent
SHARES = ("accuracy", "as_background", "share", "box_found")


def cell(row: dict[str, str]) -> str:
    """One metric of one arm."""
    if not row["mean"]:
        return "–"
    scale, digits = (100, 1) if any(word in row["metric"] for word in SHARES) else (1, 2)

    def show(name: str, sign: str = "") -> str:
        return f"{scale * float(row[name]):{sign}.{digits}f}".replace("-", "−")

    text = f"{show('mean')} ± {show('std')}" if row["std"] else show("mean")
    if row["difference"] and row["difference_low"]:
        star = "*" if row["p_holm"] and float(row["p_holm"]) <= 0.05 else ""
        text += f" ({show('difference', '+')}{star}; {show('difference_low')} to {show('difference_high')})"
    return text


def table(name: str, metrics: list[str]) -> str:
    """Rows are arms, columns metrics; one table for each block."""
    with open(HERE / "studies" / name / "comparisons.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    titles = {row["metric"]: row["title"] for row in rows}
    metrics = [metric for metric in metrics if metric in titles]
    lines = []
    for block in dict.fromkeys(row["block"] for row in rows):
        lines += [f"\n**{block}**\n"] if block else []
        lines += [
            "| arm | " + " | ".join(titles[m] for m in metrics) + " |",
            "|---" * (len(metrics) + 1) + "|",
        ]
        for arm in dict.fromkeys(row["arm"] for row in rows):
            found = {row["metric"]: row for row in rows if row["arm"] == arm and row["block"] == block}
            lines.append(f"| {arm} | " + " | ".join(cell(found[m]) for m in metrics) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(sys.argv[1], sys.argv[2:]))
