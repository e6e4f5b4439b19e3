"""A study's results -> one HTML file: verdicts first, then the tables and drawings they rest on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foveate.core.errors import few
from foveate.core.files import write_text
from foveate.reporting.page import flat, render_page
from foveate.reporting.study_drawings import (
    Drawing,
    axis_drawings,
    block_drawings,
    curve_drawings,
    difference_drawings,
    judged,
)
from foveate.reporting.study_figures import TOGETHER
from foveate.reporting.study_forest import forest_drawings
from foveate.studies import tables
from foveate.studies.analysis import Analysis
from foveate.studies.learning_curves import Trim, phase_starts, write_curves
from foveate.studies.number_format import Digits, digits
from foveate.studies.results import Metric, StudyResults
from foveate.studies.tables import Measured

FOLDED_ROWS = 24
"""Longer comparison tables are folded."""
SENTENCES = 12
"""More verdicts than this: only those that show a difference stand open, as many metrics as fit."""
FIGURES = 4
"""Drawings of one kind that stand open; the others are folded."""
FEW = 10
"""Seeds or hashes that a sentence lists."""
MARKS = {"better": "✓", "worse": "✗", "different": "≠", "none": "·", "unknown": "?"}


def build_study_report(
    measured: Measured, out: Path, info: Mapping[str, Any] | None = None, *, trim: Trim = "shortest"
) -> Path:
    """Write the report of a study, finished or not, to ``out`` and return it.

    Args:
        measured: {block: (results, analysis)}; the key is "" in a study without blocks.
        info: what the numbers do not say; every key may be absent. ``name`` (title of the page), ``command`` (str),
            ``environment`` (a tree of plain values), ``arm_differences`` ({arm: [text]}, settings that differ from
            the baseline's), ``split_hashes`` ({block: {seed: hash}}), ``experiment`` (the base experiment as text),
            ``settings`` (tables), ``confusions`` (as ``study_confusion.drawn`` gives them).
        trim: where mean curves end.
    """
    write_text(Path(out), render(measured, info or {}, trim))
    return Path(out)


def write_figures(folder: Path, measured: Measured, *, trim: Trim = "shortest") -> list[Path]:
    """Write curves.csv, and each drawing of the report as SVG and PNG; return the paths."""
    folder = Path(folder)
    write_curves(folder / "curves.csv", {block: results for block, (results, _) in measured.items()})
    drawings = forest_drawings(measured) + block_drawings(measured)
    for number, (results, analysis) in enumerate(measured.values(), start=1):
        drawings += [
            d for group in _drawings(results, analysis, trim, number, measured).values() for d in group
        ]
    return [folder / "curves.csv", *(path for d in drawings for path in d.write(folder))]


def render(measured: Measured, info: Mapping[str, Any], trim: Trim = "shortest") -> str:
    """The HTML of the report."""
    return render_page("study.html.j2", context(measured, info, trim))


def context(measured: Measured, info: Mapping[str, Any], trim: Trim = "shortest") -> dict[str, Any]:
    """Everything the template shows."""
    first, _ = next(iter(measured.values()))
    blocks = [
        _block(name, results, analysis, trim, number, measured)
        for number, (name, (results, analysis)) in enumerate(measured.items(), start=1)
    ]
    return {
        "title": str(info.get("name") or first.name),
        "name": first.name,
        "baseline": first.baseline,
        "arms": _arms(first, info),
        "n_seeds": len(first.seeds),
        "many": len(first.arms) > TOGETHER,
        "marks": [
            (MARKS[key], key, words)
            for key, words in tables.OUTCOMES.items()
            if any(b["tally"][key] for b in blocks)
        ],
        "notices": _notices(measured),
        "facts": _facts(measured, info),
        "over_sets": _folded(forest_drawings(measured)),
        "over_blocks": _folded(block_drawings(measured)),
        "unit": first.unit,
        "blocks": blocks,
        "sections": {
            name for block in blocks for name in ("differences", "axes", "curves") if block[name]["open"]
        },
        "failures": [
            f"{block + ', ' if block else ''}{line}"
            for block, (results, _) in measured.items()
            for line in tables.failures(results)
        ],
        "settings": info.get("settings") or [],
        "confusions": info.get("confusions") or [],
        "command": str(info.get("command") or ""),
        "experiment_text": str(info.get("experiment") or ""),
        "environment": flat(info.get("environment") or {}),
    }


def _block(
    name: str, results: StudyResults, analysis: Analysis, trim: Trim, number: int, measured: Measured
) -> dict[str, Any]:
    many = len(results.arms) > TOGETHER
    means = (tables.overview_tables if many else tables.means_tables)(results, analysis, name)
    compared = tables.comparisons_table(results, analysis, name)
    drawings = _drawings(results, analysis, trim, number, measured)
    curves = _folded(drawings["curves"])
    curves["folded"] += drawings["terms"]
    outcomes = [o for by_arm in analysis.outcomes.values() for o in by_arm.values()]
    return {
        "name": name,
        "id": f"-{number}" if name else "",
        "tally": {"all": len(outcomes)} | {key: outcomes.count(key) for key in tables.OUTCOMES},
        **_sentences(results, analysis),
        "pictures": tables.picture_verdicts(analysis),
        "grid": _grid(results, analysis),
        "notes": [note for note in tables.notes(results, analysis) if note not in _notices(measured)],
        "means": means,
        "comparisons": compared if compared.rows else None,
        "comparisons_note": tables.ABOUT_COMPARISONS,
        "fold_comparisons": len(compared.rows) > FOLDED_ROWS or len(measured) > 1,
        "differences": _folded(drawings["differences"]),
        "axes": _folded(drawings["axes"]),
        "curves": curves,
        "curves_note": _curves_note(results, trim),
    }


def _drawings(
    results: StudyResults, analysis: Analysis, trim: Trim, number: int, measured: Measured
) -> dict[str, list[Drawing]]:
    curves, terms = curve_drawings(results, trim, number)
    # With blocks, everything stands here as many times: the validation curves must do.
    brief = len(measured) > 1
    return {
        "differences": difference_drawings(results, analysis, number),
        "axes": axis_drawings(results, analysis, number),
        "curves": curves[:2] if brief else curves,
        "terms": [] if brief else terms,
    }


def _folded(drawings: Sequence[Drawing]) -> dict[str, list[Drawing]]:
    return {"open": list(drawings[:FIGURES]), "folded": list(drawings[FIGURES:])}


def _curves_note(results: StudyResults, trim: Trim) -> str:
    lengths = [len(rows) for arm in results.arms for rows in results.histories.get(arm, {}).values() if rows]
    phases = "A dotted line: the next training phase begins. " if phase_starts(results) else ""
    if not lengths or min(lengths) == max(lengths):
        return phases.rstrip()
    span = f"{phases}Runs lasted {min(lengths)} to {max(lengths)} epochs"
    if trim == "shortest":
        return f"{span}; curves end where the first run of any arm ended. Further epochs are in curves.csv."
    return (
        f"{span}; a run that has ended carries its last value. curves.csv says how many were still training."
    )


def _grid(results: StudyResults, analysis: Analysis) -> dict[str, Any] | None:
    """Arms below each other, metrics across, each cell a difference and what it means."""
    compared = [metric for metric in judged(results) if analysis.comparisons.get(metric.name)]
    arms = [arm for arm in results.arms if arm != results.baseline]
    if not compared or not arms:
        return None
    forms = {metric.name: digits(analysis, metric) for metric in compared}
    rows = [(arm, [_cell(analysis, metric, arm, forms[metric.name]) for metric in compared]) for arm in arms]
    base = []
    for metric in compared:
        summary = analysis.summaries.get(metric.name, {}).get(results.baseline)
        base.append(forms[metric.name].plus_minus(summary.mean, summary.std) if summary else None)
    return {"heads": [tables.heading(metric) for metric in compared], "rows": rows, "base": base}


def _cell(analysis: Analysis, metric: Metric, arm: str, form: Digits) -> dict[str, str]:
    c = analysis.comparisons[metric.name].get(arm)
    outcome = analysis.outcomes[metric.name].get(arm, "unknown")
    text = form.difference(c.difference, sign=True) if c else None
    return {
        "outcome": outcome,
        "mark": MARKS[outcome],
        "text": (text or "–").replace("-", "−"),
        "why": analysis.verdicts[metric.name].get(arm, ""),
    }


def _sentences(results: StudyResults, analysis: Analysis) -> dict[str, Any]:
    """``sentences``: verdicts to be read first; ``more``: all of them, when that is not all."""
    groups = tables.verdicts(results, analysis)
    if sum(len(lines) for _, lines in groups) <= SENTENCES:
        return {"sentences": groups, "more": []}
    shown, left = [], SENTENCES
    for title, lines in tables.verdicts(results, analysis, tables.SEEN):
        if len(lines) <= left:
            shown.append((title, lines))
            left -= len(lines)
    return {"sentences": shown, "more": groups}


def _notices(measured: Measured) -> list[str]:
    """What a reader must know about all blocks; what is special to one stands there."""
    first, *others = (tables.notes(*study) for study in measured.values())
    return [note for note in first if all(note in notes for notes in others)]


def _facts(measured: Measured, info: Mapping[str, Any]) -> list[tuple[str, str]]:
    studies = [results for results, _ in measured.values() if results.unit != "set"]
    first, analysis = next(iter(measured.values()))
    cells = len(studies) * len(first.arms) * len(first.seeds)
    failed = sum(len(results.failures) for results in studies)
    finished = cells - failed - sum(map(tables.unfinished, studies))
    sizes = sorted({len(p.path) for r in studies for seeds in r.pictures.values() for p in seeds.values()})
    facts = [
        ("Baseline", first.baseline),
        ("Arms", str(len(first.arms)) + (f" in each of {len(studies)} blocks" if len(studies) > 1 else "")),
        (
            f"{first.unit}s".capitalize(),
            f"{len(first.seeds)} ({few([first.names.get(pair, str(pair)) for pair in first.seeds], FEW)})",
        ),
        ("Cells", f"{finished} of {cells} finished" + (f", {failed} failed" if failed else "")),
        (
            "Test pictures",
            (f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])) if sizes else "",
        ),
        ("Split", _split(info.get("split_hashes") or {})),
        ("Called a difference", f"p of {analysis.alpha:g} or less after Holm's correction"),
    ]
    facts += [(f"Detectable: {metric.title}", _detectable(measured, metric)) for metric in judged(first)]
    return [(name, value) for name, value in facts if value]


def _detectable(measured: Measured, metric: Metric) -> str:
    known = [
        (c.detectable.smallest, digits(analysis, metric))
        for _, analysis in measured.values()
        for c in analysis.comparisons.get(metric.name, {}).values()
        if c.detectable.smallest is not None
    ]
    if not known:
        return ""
    (least, form), (most, _) = min(known, key=lambda k: k[0]), max(known, key=lambda k: k[0])
    low, high = str(form.difference(least)), str(form.difference(most))
    return (low if low == high else f"{low} to {high}") + (" points" if metric.percent else "")


def _split(blocks: Mapping[str, Mapping[int, str]]) -> str:
    different = list(dict.fromkeys(str(value) for hashes in blocks.values() for value in hashes.values()))
    if len(different) <= 1:
        return f"one for all seeds, {different[0]}" if different else ""
    return f"{len(different)} different ones, shared by all arms: {few(different, FEW)}"


def _arms(results: StudyResults, info: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """(arm, kind, differences from the baseline)."""
    said: Mapping[str, Sequence[str]] = info.get("arm_differences") or {}
    return [
        (arm, "baseline" if arm == results.baseline else "", [str(text) for text in said.get(arm, [])])
        for arm in results.arms
    ]
