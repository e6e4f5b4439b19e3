"""The tables of a study: means and standard deviations as in the report, and comparisons with the baseline."""

from html import escape
from pathlib import Path
from typing import Any

from foveate.core.files import csv_text, write_text
from foveate.studies.analysis import Analysis
from foveate.studies.digits import digits, fixed, p_text
from foveate.studies.layout import (
    Column,
    Table,
    latex_text,
    markdown_text,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
)
from foveate.studies.results import Metric, StudyResults

ARMS_ACROSS = 6
"""More arms than this do not fit across a page: further ones stand in a table of their own, beside the baseline."""
OUTCOMES = {
    "better": "better",
    "worse": "worse",
    "different": "different",
    "none": "no detectable difference",
    "unknown": "cannot be told",
}
COMPARISON_COLUMNS = (
    "metric", "title", "arm", "n", "mean", "std", "low", "high", "pairs", "difference", "difference_std",
    "difference_low", "difference_high", "test", "p", "p_holm", "cohen_d", "hedges_g", "detectable",
    "detectable_seeds", "detectable_pictures", "detectable_both", "outcome", "verdict", "note",
)  # fmt: skip
"""Of comparisons.csv. Values have all their digits and the metric's own unit (shares, not per cent)."""
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em;color:#18222d;font-variant-numeric:tabular-nums}"
    "table{border-collapse:collapse;border-top:2px solid;border-bottom:2px solid;margin-top:2em}"
    "caption{text-align:left;padding-bottom:.5em;font-weight:600}th,td{padding:.3em .8em;text-align:left;"
    "vertical-align:top}thead tr:last-child>*{border-bottom:1px solid}.n{text-align:right;white-space:nowrap}"
    ".group{text-align:center;border-bottom:1px solid #aaa}.note{color:#56626f;max-width:60em;margin:.5em 0}"
)


def write_tables(folder: Path, results: StudyResults, analysis: Analysis) -> list[Path]:
    """Write table.csv, comparisons.csv, table.md, table.tex and table.html; each is whole or as it was.

    Same results, same files, byte for byte.
    """
    files = {
        "table.csv": to_csv(means_table(results, analysis)),
        "comparisons.csv": comparisons_csv(results, analysis),
        "table.md": markdown(results, analysis),
        "table.tex": latex(results, analysis),
        "table.html": html(results, analysis),
    }
    for name, text in files.items():
        write_text(Path(folder) / name, text)
    return [Path(folder) / name for name in files]


def means_tables(results: StudyResults, analysis: Analysis, across: int = ARMS_ACROSS) -> list[Table]:
    """The report's layout, at most ``across`` arms beside each other; the baseline stands in each table."""
    if len(results.arms) <= across:
        return [means_table(results, analysis)]
    others = [arm for arm in results.arms if arm != results.baseline]
    parts = [others[i : i + across - 1] for i in range(0, len(others), across - 1)]
    return [
        means_table(results, analysis, (results.baseline, *part), part=(number, len(parts)))
        for number, part in enumerate(parts, start=1)
    ]


def means_table(
    results: StudyResults,
    analysis: Analysis,
    arms: tuple[str, ...] | None = None,
    part: tuple[int, int] = (1, 1),
) -> Table:
    """Rows are metrics; each arm has a column Mean and a column Std, and n where not all n are equal."""
    arms = results.arms if arms is None else arms
    counts = {count(analysis, metric, arm) for metric in results.metrics for arm in arms}
    unequal = len(counts) > 1
    names = ("Mean", "Std", "n") if unequal else ("Mean", "Std")
    columns = [Column("Metric", number=False), *(Column(name, arm) for arm in arms for name in names)]
    rows = []
    for metric in results.metrics:
        form = digits(analysis, metric)
        row: list[str | None] = [heading(metric)]
        for arm in arms:
            summary = analysis.summaries.get(metric.name, {}).get(arm)
            row += [form.mean(summary.mean), form.mean(summary.std)] if summary else [None, None]
            if unequal:
                row.append(str(count(analysis, metric, arm)))
        rows.append(tuple(row))
    last = part[0] == part[1]
    return Table(
        f"{results.name}: {_what_is_shown(counts)}" + (f" ({part[0]} of {part[1]})" if part[1] > 1 else ""),
        tuple(columns),
        tuple(rows),
        (*missing_notes(results, analysis), *analysis.notes) if last else (),
    )


def overview_table(results: StudyResults, analysis: Analysis) -> Table:
    """The same numbers turned round, for many arms: rows are arms, cells are "mean ± std"."""
    forms = {metric.name: digits(analysis, metric) for metric in results.metrics}
    counts = {count(analysis, metric, arm) for metric in results.metrics for arm in results.arms}
    rows, classes = [], []
    for arm in results.arms:
        row: list[str | None] = [arm + (" (baseline)" if arm == results.baseline else "")]
        if len(counts) > 1:
            ns = sorted({count(analysis, metric, arm) for metric in results.metrics})
            row.append(str(ns[0]) if len(ns) == 1 else f"{ns[0]} to {ns[-1]}")
        for metric in results.metrics:
            summary = analysis.summaries.get(metric.name, {}).get(arm)
            row.append(forms[metric.name].plus_minus(summary.mean, summary.std) if summary else None)
        rows.append(tuple(row))
        classes.append("baseline" if arm == results.baseline else "")
    columns = (
        Column("Arm", number=False),
        *([Column("n")] if len(counts) > 1 else []),
        *(Column(heading(metric)) for metric in results.metrics),
    )
    return Table(
        f"{results.name}: {_what_is_shown(counts)}",
        columns,
        tuple(rows),
        (*missing_notes(results, analysis), *analysis.notes),
        classes=tuple(classes),
    )


def comparisons_table(
    results: StudyResults, analysis: Analysis, metrics: tuple[Metric, ...] | None = None
) -> Table:
    """Each arm against the baseline, paired by seed; one section for each metric."""
    rows: list[tuple[str | None, ...]] = []
    classes = []
    for metric in results.metrics if metrics is None else metrics:
        form = digits(analysis, metric)
        for arm, c in analysis.comparisons.get(metric.name, {}).items():
            outcome = analysis.outcomes[metric.name][arm]
            classes.append(outcome)
            rows.append(
                (
                    heading(metric),
                    arm,
                    str(c.n),
                    form.difference(c.difference, sign=True),
                    form.interval(c.low, c.high),
                    p_text(c.p_holm),
                    None if c.hedges_g is None else fixed(c.hedges_g, 2),
                    form.difference(c.detectable.smallest),
                    OUTCOMES[outcome],
                )
            )
    names = (
        ("Metric", False), ("Arm", False), ("Pairs", True), ("Difference", True),
        (f"{100 * (1 - analysis.alpha):.4g} % interval", True), ("p (Holm)", True), ("Effect size", True),
        ("Detectable", True), ("Verdict", False),
    )  # fmt: skip
    return Table(
        f"{results.name}: differences from {results.baseline}, paired by seed",
        tuple(Column(name, number=number) for name, number in names),
        tuple(rows),
        (
            "Differences of percentages are percentage points. Intervals are for each comparison alone; p is after "
            "Holm's correction over the arms of a metric. Effect size: Hedges' g of the paired differences. "
            "Detectable: the smallest true difference that this design shows with power 0.8.",
        ),
        sections=True,
        classes=tuple(classes),
    )


def comparisons_csv(results: StudyResults, analysis: Analysis) -> str:
    """One row for each metric and arm, the baseline's included, with every digit."""
    rows = (_comparison(analysis, metric, arm) for metric in results.metrics for arm in results.arms)
    return csv_text(COMPARISON_COLUMNS, rows)


def _comparison(analysis: Analysis, metric: Metric, arm: str) -> dict[str, Any]:
    row: dict[str, Any] = {"metric": metric.name, "title": metric.title, "arm": arm, "n": 0}
    summary = analysis.summaries.get(metric.name, {}).get(arm)
    if summary:
        row |= {name: getattr(summary, name) for name in ("n", "mean", "std", "low", "high")}
    c = analysis.comparisons.get(metric.name, {}).get(arm)
    if c:
        row |= {
            name: getattr(c, name)
            for name in ("difference", "test", "p", "p_holm", "cohen_d", "hedges_g", "note")
        }
        row |= {
            "pairs": c.n, "difference_std": c.std, "difference_low": c.low, "difference_high": c.high,
            "detectable": c.detectable.smallest, "detectable_seeds": c.detectable.seeds,
            "detectable_pictures": c.detectable.pictures, "detectable_both": c.detectable.both,
            "outcome": analysis.outcomes[metric.name][arm], "verdict": analysis.verdicts[metric.name][arm],
        }  # fmt: skip
    # str(None) would be written; and numpy's numbers are written like Python's.
    return {name: float(v) if isinstance(v, float) else v for name, v in row.items() if v is not None}


def verdicts(results: StudyResults, analysis: Analysis) -> list[tuple[str, list[str]]]:
    """(heading, sentences) for each metric, then for the test pictures, in the order of the study."""
    groups = [
        (metric.title, list(analysis.verdicts.get(metric.name, {}).values())) for metric in results.metrics
    ]
    groups.append(("On the test pictures", list(analysis.picture_verdicts.values())))
    return [(title, sentences) for title, sentences in groups if sentences]


def failures(results: StudyResults) -> list[str]:
    """One sentence for each failed cell, in the order of the study."""
    order = {arm: i for i, arm in enumerate(results.arms)}
    cells = sorted(results.failures.items(), key=lambda cell: (order.get(cell[0][0], len(order)), cell[0]))
    return [f"{arm}, seed {seed}: {reason}" for (arm, seed), reason in cells]


def markdown(results: StudyResults, analysis: Analysis) -> str:
    """Everything in one Markdown page."""
    parts = [to_markdown(table) for table in _tables(results, analysis)]
    for title, sentences in _lists(results, analysis):
        parts.append(
            f"**{markdown_text(title)}**\n\n" + "".join(f"- {markdown_text(s)}\n" for s in sentences)
        )
    return "\n".join(parts)


def latex(results: StudyResults, analysis: Analysis) -> str:
    """The tables for a paper; failures as comments."""
    parts = [
        "% \\usepackage{booktabs,textcomp}\n",
        *(to_latex(table) for table in _tables(results, analysis)),
    ]
    parts += [f"% failed: {latex_text(sentence)}\n" for sentence in failures(results)]
    return "\n".join(parts)


def html(results: StudyResults, analysis: Analysis) -> str:
    """One small page, for pasting into a document."""
    body = "".join(to_html(table) for table in _tables(results, analysis))
    for title, sentences in _lists(results, analysis):
        items = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in sentences)
        body += f"<h2>{escape(title)}</h2>\n<ul>\n{items}</ul>\n"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(results.name)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def heading(metric: Metric) -> str:
    """The metric's title with its unit."""
    return f"{metric.title} (%)" if metric.percent else metric.title


def count(analysis: Analysis, metric: Metric, arm: str) -> int:
    """Seeds with a value."""
    summary = analysis.summaries.get(metric.name, {}).get(arm)
    return summary.n if summary else 0


def unfinished(results: StudyResults) -> int:
    """Cells that have neither a value nor a failure yet."""
    cells = {(arm, seed) for arm in results.arms for seed in results.seeds}
    by_arm = [(arm, seeds) for arms in results.values.values() for arm, seeds in arms.items()]
    return len(cells - {(arm, seed) for arm, seeds in by_arm for seed in seeds} - set(results.failures))


def missing_notes(results: StudyResults, analysis: Analysis) -> tuple[str, ...]:
    """What a dash and a missing cell mean, as far as there are any."""
    notes = []
    cells, failed, waiting = (
        len(results.arms) * len(results.seeds),
        len(results.failures),
        unfinished(results),
    )
    if waiting:
        notes.append(f"{waiting} of {cells} cells are not finished.")
    if failed:
        notes.append(f"{failed} of {cells} cells failed.")
    shown = [count(analysis, metric, arm) for metric in results.metrics for arm in results.arms]
    if 0 in shown:
        notes.append("A dash: no finished cell has measured this.")
    if 1 in shown:
        notes.append("A single value has no standard deviation.")
    return tuple(notes)


def _what_is_shown(counts: set[int]) -> str:
    if len(counts) > 1:
        return "mean and standard deviation over seeds; n is their number"
    (n,) = counts or {0}
    return f"mean and standard deviation of {n} {'seed' if n == 1 else 'seeds'}"


def _tables(results: StudyResults, analysis: Analysis) -> list[Table]:
    tables = means_tables(results, analysis)
    compared = comparisons_table(results, analysis)
    return [*tables, compared] if compared.rows else tables


def _lists(results: StudyResults, analysis: Analysis) -> list[tuple[str, list[str]]]:
    groups = [(f"Verdicts: {title}", sentences) for title, sentences in verdicts(results, analysis)]
    failed = failures(results)
    return [*groups, ("Failed cells", failed)] if failed else groups
