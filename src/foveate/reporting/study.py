"""A study's results -> one HTML file: verdicts first, then the tables and drawings they rest on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foveate.core.errors import few
from foveate.core.files import write_text
from foveate.reporting.matrix import confusion_svg
from foveate.reporting.overlays import colorbar
from foveate.reporting.page import render_page
from foveate.reporting.study_confusion import pairs_table
from foveate.reporting.study_drawings import (
    Drawing,
    axis_drawings,
    block_drawings,
    curve_drawings,
    difference_drawings,
    forest_drawings,
    primary_drawing,
)
from foveate.reporting.study_figures import TOGETHER
from foveate.studies import tables
from foveate.studies.analysis import Analysis
from foveate.studies.learning_curves import Trim, phase_starts, write_curves
from foveate.studies.number_format import digits
from foveate.studies.paper_words import primary_findings
from foveate.studies.results import Metric, StudyResults
from foveate.studies.statistics import ALPHA
from foveate.studies.tables import Measured, judged
from foveate.studies.verdict import SEEN

FOLDED_ROWS = 24
"""Longer comparison tables are folded."""
SENTENCES = 12
"""More verdicts than this: only those that show a difference stand open, as many metrics as fit."""
FIGURES = 4
"""Drawings of one kind that stand open; the others are folded."""
MARKS = {"better": "✓", "worse": "✗", "different": "≠", "none": "·", "unknown": "?"}


def build_study_report(
    measured: Measured, out: Path, info: Mapping[str, Any] | None = None, *, trim: Trim = "shortest"
) -> Path:
    """Write the report of a study, finished or not, to ``out`` and return it.

    Args:
        measured: {block: (results, analysis)}; the key is "" in a study without blocks.
        info: what the numbers do not say; every key may be absent. ``name`` (title of the page), ``command`` (str),
            ``environment`` (a tree of plain values), ``arm_differences`` ({arm: [text]}, settings that differ from
            the baseline's), ``costs`` ({name in result.json: {arm: the median of its cells}}), ``sheets``
            (``arm_sheets.picture_sheets``), ``split_hashes`` ({block: {seed: hash}}), ``experiment`` (the base
            experiment as text), ``settings`` (tables), ``confusions`` (``study_confusion.Confusion``).
        trim: where mean curves end.
    """
    write_text(Path(out), render_page("study.html.j2", context(measured, info or {}, trim)))
    return Path(out)


def write_figures(folder: Path, measured: Measured, *, trim: Trim = "shortest") -> list[Path]:
    """Write curves.csv, and each drawing of the report as SVG and PNG; return the paths."""
    folder = Path(folder)
    write_curves(folder / "curves.csv", {block: results for block, (results, _) in measured.items()})
    drawings = forest_drawings(measured) + block_drawings(measured)
    for number in range(1, len(measured) + 1):
        drawings += [one for group in _drawings(measured, number, trim).values() for one in group]
    return [folder / "curves.csv", *(path for drawing in drawings for path in drawing.write(folder))]


def context(measured: Measured, info: Mapping[str, Any], trim: Trim = "shortest") -> dict[str, Any]:
    """Everything the template shows."""
    first, _ = next(iter(measured.values()))
    said, *others = (tables.notes(*study) for study in measured.values())
    notices = [
        note for note in said if all(note in notes for notes in others)
    ]  # what is special to one stands there
    blocks = [_block(measured, number, notices, trim) for number in range(1, len(measured) + 1)]
    studies = [results for results, _ in measured.values() if results.unit != "set"]
    hashes = (info.get("split_hashes") or {}).values()
    leading = next((m for m in first.metrics if m.name == first.primary), None)
    detectable = [(metric.title, _detectable(measured, metric)) for metric in judged(first)]
    return {
        **dict.fromkeys(
            (
                "arm_differences",
                "costs",
                "sheets",
                "settings",
                "confusions",
                "command",
                "experiment",
                "environment",
            ),
            "",
        ),
        **info,
        "title": str(info.get("name") or first.name),
        "results": first,
        "baseline": first.baseline,
        "unit": first.unit,
        "alpha": ALPHA,
        "colorbar": colorbar(),
        "many": len(first.arms) > TOGETHER,
        "tables": tables,
        "few": few,
        "confusion_svg": confusion_svg,
        "pairs_table": pairs_table,
        "marks": MARKS,
        "measured": measured,
        "blocks": blocks,
        "studies": studies,
        "notices": notices,
        "sizes": sorted({len(p.path) for r in studies for arm in r.pictures.values() for p in arm.values()}),
        "splits": list(dict.fromkeys(str(value) for by_seed in hashes for value in by_seed.values())),
        "detectable": [(title, text) for title, text in detectable if text],
        "seen": {
            arm: text for arm in first.arms if leading and (text := _detectable(measured, leading, arm))
        },
        "leading": leading,
        "primary": primary_drawing(measured),
        "found": primary_findings(measured),
        "over_sets": _folded(forest_drawings(measured)),
        "over_blocks": _folded(block_drawings(measured)),
        "sections": {
            name for block in blocks for name in ("differences", "axes", "curves") if block[name]["open"]
        },
    }


def _block(measured: Measured, number: int, notices: Sequence[str], trim: Trim) -> dict[str, Any]:
    name, (results, analysis) = list(measured.items())[number - 1]
    compared = tables.comparisons_table(results, analysis, name)
    means = tables.overview_tables if len(results.arms) > TOGETHER else tables.means_tables
    drawings = _drawings(measured, number, trim)
    curves = _folded(drawings["curves"])
    curves["folded"] += drawings["terms"]
    metrics = [metric for metric in judged(results) if analysis.comparisons.get(metric.name)]
    lengths = {len(rows) for arm in results.arms for rows in results.histories.get(arm, {}).values() if rows}
    return {
        "name": name,
        "outcomes": [outcome for by_arm in analysis.outcomes.values() for outcome in by_arm.values()],
        **_sentences(results, analysis),
        "analysis": analysis,
        "others": [arm for arm in results.arms if arm != results.baseline],
        "metrics": [(metric, digits(analysis, metric)) for metric in metrics],
        "notes": [note for note in tables.notes(results, analysis) if note not in notices],
        "means": means(results, analysis, name),
        "comparisons": compared if compared.rows else None,
        "fold_comparisons": len(compared.rows) > FOLDED_ROWS or len(measured) > 1,
        "differences": _folded(drawings["differences"]),
        "axes": _folded(drawings["axes"]),
        "curves": curves,
        "phases": phase_starts(results),
        "lengths": sorted(lengths),
        "trim": trim,
    }


def _drawings(measured: Measured, number: int, trim: Trim) -> dict[str, list[Drawing]]:
    results, analysis = list(measured.values())[number - 1]
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


def _sentences(results: StudyResults, analysis: Analysis) -> dict[str, Any]:
    """``sentences``: verdicts to be read first; ``more``: all of them, when that is not all."""
    groups = tables.verdicts(results, analysis)
    if sum(len(lines) for _, lines in groups) <= SENTENCES:
        return {"sentences": groups, "more": []}
    shown, left = [], SENTENCES
    for title, lines in tables.verdicts(results, analysis, SEEN):
        if len(lines) <= left:
            shown.append((title, lines))
            left -= len(lines)
    return {"sentences": shown, "more": groups}


def _detectable(measured: Measured, metric: Metric, only: str = "") -> str:
    """The smallest difference that comparisons could show (of one arm, if ``only`` is given), over tables."""
    asked = [
        (c.detectable, digits(analysis, metric))
        for _, analysis in measured.values()
        for arm, c in analysis.comparisons.get(metric.name, {}).items()
        if only in ("", arm)
    ]
    known = sorted(
        (seen.smallest, str(form.difference(seen.smallest)))
        for seen, form in asked
        if seen.smallest is not None
    )
    ends = " to ".join(dict.fromkeys(text for _, text in known[:1] + known[-1:]))
    beyond = any(seen.room is not None for seen, _ in asked)
    return ", or ".join([f"{ends}{' points' * metric.percent}"] * bool(ends) + [tables.BEYOND] * beyond)
