"""The tables of a study as files: table.csv, comparisons.csv, table.md, table.tex, table.html."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from foveate.core.files import csv_text, write_text
from foveate.studies.analysis import Analysis
from foveate.studies.results import Metric
from foveate.studies.table_formats import (
    Column,
    Table,
    latex_text,
    markdown_text,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
)
from foveate.studies.tables import (
    Measured,
    comparisons_table,
    failures,
    means_table,
    means_tables,
    picture_verdicts,
    verdicts,
    where_n,
)

COMPARISON_COLUMNS = (
    "block", "metric", "title", "arm", "n", "mean", "std", "low", "high", "pairs", "difference", "difference_std",
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


def write_tables(folder: Path, measured: Measured) -> list[Path]:
    """Write table.csv, comparisons.csv, table.md, table.tex and table.html; each is whole or as it was.

    Same results, same files, byte for byte.
    """
    files = {
        "table.csv": means_csv(measured),
        "comparisons.csv": comparisons_csv(measured),
        "table.md": markdown(measured),
        "table.tex": latex(measured),
        "table.html": html(measured),
    }
    for name, text in files.items():
        write_text(Path(folder) / name, text)
    return [Path(folder) / name for name in files]


def means_csv(measured: Measured) -> str:
    """The report's layout in one wide table; with blocks, their name stands in the first column."""
    unequal = bool(where_n(list(measured.values())))
    columns: tuple[Column, ...] = ()
    rows: list[tuple[str | None, ...]] = []
    for block, (results, analysis) in measured.items():
        table = means_table(results, analysis, block, n="column" if unequal else "")
        columns = (Column("Block", number=False), *table.columns) if block else table.columns
        rows.extend((block, *row) if block else row for row in table.rows)
    return to_csv(Table("", columns, tuple(rows)))


def comparisons_csv(measured: Measured) -> str:
    """One row for each block, metric and arm, the baseline's included, with every digit."""
    rows = (
        {"block": block} | _comparison(analysis, metric, arm)
        for block, (results, analysis) in measured.items()
        for metric in results.metrics
        for arm in results.arms
    )
    return csv_text(COMPARISON_COLUMNS, rows)


def _comparison(analysis: Analysis, metric: Metric, arm: str) -> dict[str, Any]:
    row: dict[str, Any] = {"metric": metric.name, "title": metric.title, "arm": arm, "n": 0}
    summary = analysis.summaries.get(metric.name, {}).get(arm)
    if summary:
        row |= {name: getattr(summary, name) for name in ("n", "mean", "std", "low", "high")}
    c = analysis.comparisons.get(metric.name, {}).get(arm)
    if c:
        same = ("difference", "test", "p", "p_holm", "cohen_d", "hedges_g", "note")
        row |= {name: getattr(c, name) for name in same}
        row |= {
            "pairs": c.n, "difference_std": c.std, "difference_low": c.low, "difference_high": c.high,
            "detectable": c.detectable.smallest, "detectable_seeds": c.detectable.seeds,
            "detectable_pictures": c.detectable.pictures, "detectable_both": c.detectable.both,
            "outcome": analysis.outcomes[metric.name][arm], "verdict": analysis.verdicts[metric.name][arm],
        }  # fmt: skip
    return {name: float(v) if isinstance(v, float) else v for name, v in row.items() if v is not None}


def markdown(measured: Measured) -> str:
    """Everything in one Markdown page."""
    parts = [to_markdown(table) for table in _tables(measured)]
    for title, sentences in _lists(measured):
        parts.append(
            f"**{markdown_text(title)}**\n\n" + "".join(f"- {markdown_text(s)}\n" for s in sentences)
        )
    return "\n".join(parts)


def latex(measured: Measured) -> str:
    """The tables for a paper; failures as comments."""
    failed = [sentence for results, _ in measured.values() for sentence in failures(results)]
    parts = [
        "% \\usepackage{booktabs,textcomp}\n",
        *(to_latex(table) for table in _tables(measured)),
        *(f"% failed: {latex_text(sentence)}\n" for sentence in failed),
    ]
    return "\n".join(parts)


def html(measured: Measured) -> str:
    """One small page, for pasting into a document."""
    body = "".join(to_html(table) for table in _tables(measured))
    for title, sentences in _lists(measured):
        items = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in sentences)
        body += f"<h2>{escape(title)}</h2>\n<ul>\n{items}</ul>\n"
    title = next((results.name for results, _ in measured.values()), "")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _tables(measured: Measured) -> Iterator[Table]:
    for block, (results, analysis) in measured.items():
        yield from means_tables(results, analysis, block)
        compared = comparisons_table(results, analysis, block)
        if compared.rows:
            yield compared


def _lists(measured: Measured) -> Iterator[tuple[str, list[str]]]:
    for block, (results, analysis) in measured.items():
        where = f", {block}" if block else ""
        for title, sentences in verdicts(results, analysis):
            yield f"Verdicts{where}: {title}", sentences
        other = picture_verdicts(analysis)
        if other:
            yield f"Verdicts{where}: test accuracy, on other pictures of the same kind", other
        failed = failures(results)
        if failed:
            yield f"Failed cells{where}", failed
