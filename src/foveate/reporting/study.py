"""A study's results -> one HTML file: verdicts first, then the tables and drawings they rest on."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from foveate.core.files import write_text
from foveate.reporting import study_figures
from foveate.reporting.page import flat, render_page
from foveate.reporting.study_figures import TOGETHER, Drawing, axis_title
from foveate.studies import tables
from foveate.studies.analysis import Analysis
from foveate.studies.axes import numeric_axes
from foveate.studies.curves import Curve, Trim, columns, mean_curves, write_curves
from foveate.studies.digits import Digits, digits
from foveate.studies.layout import to_html
from foveate.studies.results import Metric, StudyResults

MAIN_COLUMNS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
_NOT_DRAWN = ("seconds", "images_per_second", "val_balanced_accuracy", "val_macro_f1")
FOLDED_ROWS = 24
"""Longer comparison tables are folded."""
SENTENCES = 12
"""More verdicts than this: only those that show a difference stand open."""
MARKS = {"better": "✓", "worse": "✗", "different": "≠", "none": "·", "unknown": "?"}


def build_study_report(
    results: StudyResults,
    analysis: Analysis,
    out: Path,
    info: Mapping[str, Any] | None = None,
    *,
    trim: Trim = "shortest",
) -> Path:
    """Write the report of a study, finished or not, to ``out`` and return it.

    Args:
        info: what the numbers do not say; every key may be absent. ``name`` (title of the page), ``command`` (str),
            ``environment`` (a tree of plain values), ``arm_differences`` ({arm: [text]}, settings that differ from
            the baseline's), ``split_hashes`` ({seed: hash}), ``experiment`` (the base experiment as YAML).
        trim: where mean curves end.
    """
    write_text(Path(out), render(results, analysis, info or {}, trim))
    return Path(out)


def write_figures(
    folder: Path, results: StudyResults, analysis: Analysis, trim: Trim = "shortest"
) -> list[Path]:
    """Write curves.csv and each drawing of the report as SVG and PNG; return the paths."""
    folder = Path(folder)
    write_curves(folder / "curves.csv", results)
    groups = drawings(results, analysis, trim)
    return [
        folder / "curves.csv",
        *(path for group in groups.values() for d in group for path in d.write(folder)),
    ]


def render(
    results: StudyResults, analysis: Analysis, info: Mapping[str, Any], trim: Trim = "shortest"
) -> str:
    """The HTML of the report."""
    return render_page("study.html.j2", context(results, analysis, info, trim))


def context(
    results: StudyResults, analysis: Analysis, info: Mapping[str, Any], trim: Trim = "shortest"
) -> dict[str, Any]:
    """Everything the template shows."""
    many = len(results.arms) > TOGETHER
    means = [tables.overview_table(results, analysis)] if many else tables.means_tables(results, analysis)
    compared = tables.comparisons_table(results, analysis)
    return {
        "title": str(info.get("name") or results.name),
        "results": results,
        "n_arms": len(results.arms),
        "n_seeds": len(results.seeds),
        "tally": _tally(analysis),
        "grid": _grid(results, analysis),
        "marks": [(MARKS[key], key, words) for key, words in tables.OUTCOMES.items() if _any(analysis, key)],
        **_sentences(results, analysis),
        "notices": [*tables.missing_notes(results, analysis), *analysis.notes],
        "facts": _facts(results, analysis, info),
        "arms": _arms(results, info),
        "means": [Markup(to_html(_without_notes(table))) for table in means],
        "comparisons": Markup(to_html(compared)) if compared.rows else None,
        "fold_comparisons": len(compared.rows) > FOLDED_ROWS,
        "many": many,
        "failures": tables.failures(results),
        "drawings": {
            name: [(d.title, d.wide, d.inline()) for d in group]
            for name, group in drawings(results, analysis, trim).items()
        },
        "curves_note": _curves_note(results, trim),
        "command": str(info.get("command") or ""),
        "experiment_text": str(info.get("experiment") or ""),
        "environment": flat(info.get("environment") or {}),
    }


def drawings(results: StudyResults, analysis: Analysis, trim: Trim = "shortest") -> dict[str, list[Drawing]]:
    """{"differences", "axes", "curves", "terms"}: the figures, in the order of the page."""
    curves = _curve_drawings(results, trim)
    return {
        "differences": [
            d for metric in results.metrics for d in _difference_drawing(results, analysis, metric)
        ],
        "axes": [
            Drawing(
                f"axis-{number}-{i}",
                f"{tables.heading(metric)} over {axis_title(axis)}",
                f"{metric.title} over {axis_title(axis)}, a line for each method; the numbers are in the table",
                partial(study_figures.along_axis, results, analysis, metric, axis),
            )
            for number, axis in enumerate(numeric_axes(results), start=1)
            for i, metric in enumerate(results.metrics, start=1)
            if analysis.summaries.get(metric.name)
        ],
        "curves": [d for column, d in curves if column in MAIN_COLUMNS],
        "terms": [d for column, d in curves if column not in MAIN_COLUMNS],
    }


def _difference_drawing(results: StudyResults, analysis: Analysis, metric: Metric) -> list[Drawing]:
    known = {
        arm: c for arm, c in analysis.comparisons.get(metric.name, {}).items() if c.difference is not None
    }
    if not known:
        return []
    form = digits(analysis, metric)
    words = "; ".join(f"{arm} {form.difference(c.difference, sign=True)}" for arm, c in known.items())
    number = [m.name for m in results.metrics].index(metric.name) + 1
    return [
        Drawing(
            f"differences-{number}",
            tables.heading(metric),
            f"{metric.title}, paired differences from {results.baseline}: {words}",
            partial(study_figures.differences, results, analysis, metric),
        )
    ]


def _curve_drawings(results: StudyResults, trim: Trim) -> list[tuple[str, Drawing]]:
    known = [c for c in columns(results) if c not in _NOT_DRAWN and not c.startswith("lr")]
    ordered = [c for c in MAIN_COLUMNS if c in known] + [c for c in known if c not in MAIN_COLUMNS]
    drawn: list[tuple[str, dict[str, Curve]]] = []
    for column in ordered:
        curves = mean_curves(results, column, trim)
        # The only term of a loss is the loss.
        if curves and not any(_equal(curves, other) for _, other in drawn):
            drawn.append((column, curves))
    result = []
    for number, (column, curves) in enumerate(drawn, start=1):
        title, percent = column_title(column)
        ends = "; ".join(f"{arm} ends at {c.mean[-1]:.3g}" for arm, c in curves.items())
        last = max(int(c.epoch[-1]) for c in curves.values())
        result.append(
            (
                column,
                Drawing(
                    f"curve-{number}",
                    title,
                    f"{title}, mean over seeds, to epoch {last}: {ends}",
                    partial(study_figures.mean_curve, curves, results.baseline, percent=percent),
                    wide=len(curves) > TOGETHER,
                ),
            )
        )
    return result


def column_title(column: str) -> tuple[str, bool]:
    """A column of history.csv for people, and whether it is a share."""
    side, _, rest = column.partition("_")
    sides = {"train": "Training", "val": "Validation"}
    if side not in sides:
        return column.replace("_", " "), False
    if rest.startswith("share_"):
        return f"Share of the {sides[side].lower()} loss: {rest[6:].replace('_', ' ')}", True
    if rest in ("loss", "accuracy"):
        return f"{sides[side]} {rest}", rest == "accuracy"
    return f"{sides[side]}: {rest.replace('_', ' ')}", "accuracy" in rest


def _equal(a: dict[str, Curve], b: dict[str, Curve]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[arm].mean, b[arm].mean) for arm in a)


def _curves_note(results: StudyResults, trim: Trim) -> str:
    lengths = [len(rows) for arm in results.arms for rows in results.histories.get(arm, {}).values() if rows]
    if not lengths or min(lengths) == max(lengths):
        return ""
    span = f"Runs lasted {min(lengths)} to {max(lengths)} epochs"
    if trim == "shortest":
        return f"{span}; curves end where the first run of any arm ended. Further epochs are in curves.csv."
    return (
        f"{span}; a run that has ended carries its last value. curves.csv says how many were still training."
    )


def _tally(analysis: Analysis) -> dict[str, int]:
    outcomes = [o for by_arm in analysis.outcomes.values() for o in by_arm.values()]
    return {"all": len(outcomes)} | {key: outcomes.count(key) for key in tables.OUTCOMES}  # type: ignore[arg-type]


def _any(analysis: Analysis, outcome: str) -> bool:
    return any(o == outcome for by_arm in analysis.outcomes.values() for o in by_arm.values())


def _grid(results: StudyResults, analysis: Analysis) -> dict[str, Any] | None:
    """Arms below each other, metrics across, each cell a difference and what it means."""
    compared = [metric for metric in results.metrics if analysis.comparisons.get(metric.name)]
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
    """``open``: verdicts to be read first; ``folded``: all of them, when there are many."""
    groups = tables.verdicts(results, analysis)
    if sum(len(sentences) for _, sentences in groups) <= SENTENCES:
        return {"open": groups, "folded": []}
    shown = []
    for metric in results.metrics:
        seen = [
            analysis.verdicts[metric.name][arm]
            for arm, outcome in analysis.outcomes.get(metric.name, {}).items()
            if outcome in ("better", "worse", "different")
        ]
        if seen:
            shown.append((metric.title, seen))
    return {"open": shown, "folded": groups}


def _facts(results: StudyResults, analysis: Analysis, info: Mapping[str, Any]) -> list[tuple[str, str]]:
    cells = len(results.arms) * len(results.seeds)
    waiting = tables.unfinished(results)
    state = [f"{cells - waiting - len(results.failures)} of {cells} finished"]
    state += [f"{len(results.failures)} failed"] if results.failures else []
    sizes = sorted({len(p.path) for by_seed in results.pictures.values() for p in by_seed.values()})
    facts = [
        ("Baseline", results.baseline),
        ("Arms", str(len(results.arms))),
        ("Seeds", f"{len(results.seeds)} ({_some(list(map(str, results.seeds)))})"),
        ("Cells", ", ".join(state)),
        (
            "Test pictures",
            (f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])) if sizes else "",
        ),
        ("Split", _split(info.get("split_hashes") or {})),
        ("Called a difference", f"p below {analysis.alpha:g} after Holm's correction"),
    ]
    facts += [(f"Detectable: {m.title}", _detectable(analysis, m)) for m in results.metrics]
    return [(name, value) for name, value in facts if value]


def _detectable(analysis: Analysis, metric: Metric) -> str:
    known = [
        c.detectable.smallest
        for c in analysis.comparisons.get(metric.name, {}).values()
        if c.detectable.smallest is not None
    ]
    if not known:
        return ""
    form = digits(analysis, metric)
    low, high = form.difference(min(known)), form.difference(max(known))
    return (low if low == high else f"{low} to {high}") + (" points" if metric.percent else "")  # type: ignore[operator]


def _split(hashes: Mapping[Any, str]) -> str:
    different = list(dict.fromkeys(str(value) for value in hashes.values()))
    if not different:
        return ""
    if len(different) == 1:
        return f"one for all seeds, {different[0]}"
    return "one for each seed, " + _some([f"{seed}: {value}" for seed, value in hashes.items()])


def _some(texts: list[str], most: int = 10) -> str:
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def _arms(results: StudyResults, info: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """(arm, kind, differences from the baseline)."""
    said: Mapping[str, list[str]] = info.get("arm_differences") or {}
    return [
        (arm, "baseline" if arm == results.baseline else "", [str(text) for text in said.get(arm, [])])
        for arm in results.arms
    ]


def _without_notes(table: tables.Table) -> tables.Table:
    return tables.Table(table.title, table.columns, table.rows, (), table.sections, table.classes)
