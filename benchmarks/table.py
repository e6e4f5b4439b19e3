"""results/bench.json holds every benchmark's last figures; results/bench.md shows them as one table."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Row
from foveate.core.files import write_json, write_text


def record(out: Path, name: str, rows: list[Row], about: dict[str, Any]) -> None:
    """Put one benchmark's figures in the place of its earlier ones."""
    file = out / "bench.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    known[name] = {"date": date, **about, "rows": [asdict(row) for row in rows]}
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, known)
    write_text(out / "bench.md", to_markdown(known))


def to_markdown(known: dict[str, Any]) -> str:
    """One table; below it date, pictures and machine of every benchmark, each said once where they agree."""
    lines = [
        "# Speed",
        "",
        "Foveate beside what one would run instead: interleaved (A B A B ...), medians, warm-up left out.",
        "The ratio says how many times faster Foveate is; in brackets its range over the rounds.",
        "`make bench` repeats it.",
        "",
        "| what | case | Foveate | beside | unit | ratio | notes |",
        "|---|---|---:|---:|---|---:|---|",
    ]
    for entry in known.values():
        for row in entry["rows"]:
            low, high = row["spread"]
            lines.append(
                f"| {row['what']} | {row['case']} | {_figure(row['foveate'])} | {_figure(row['beside'])} | "
                f"{row['unit']} | **{row['ratio']:.2f}** ({low:.2f} to {high:.2f}) | {row['note']} |"
            )
    lines += ["", "Conditions:", ""]
    conditions: dict[str, list[str]] = {}
    for name, entry in known.items():
        machine = dict(entry["machine"])
        load = machine.pop("load when it began", "unknown")
        conditions.setdefault("; ".join(f"{key} {value}" for key, value in machine.items()), []).append(
            f"{name}: {entry['date']}, {entry['repeats']} repeats, {entry['photos']}, load when it began {load}"
        )
    for machine, entries in conditions.items():
        lines += [f"- {machine}", *(f"  - {entry}" for entry in entries)]
    return "\n".join(lines) + "\n"


def _figure(value: float) -> str:
    """Three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
