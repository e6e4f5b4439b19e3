"""The tables of a study as files: table.csv, comparisons.csv, table.md, table.tex, table.html."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foveate.core.files import csv_text, write_text
from foveate.reporting.page import templates
from foveate.studies import tables
from foveate.studies.analysis import Analysis
from foveate.studies.results import Metric
from foveate.studies.tables import Column, Measured, Table

COMPARISON_COLUMNS = (
    "block", "metric", "title", "arm", "n", "mean", "std", "low", "high", "pairs", "difference", "difference_std",
    "difference_low", "difference_high", "test", "p", "p_holm", "cohen_d", "hedges_g", "detectable",
    "detectable_seeds", "detectable_pictures", "detectable_both", "outcome", "verdict", "note",
)  # fmt: skip
"""Of comparisons.csv. Values have all their digits and the metric's own unit (shares, not per cent)."""


def write_tables(folder: Path, measured: Measured) -> list[Path]:
    """Write table.csv, comparisons.csv, table.md, table.tex and table.html; each is whole or as it was.

    Same results, same files, byte for byte.
    """
    content = {"tables": list(_tables(measured)), "lists": list(_lists(measured))}
    title = next((results.name for results, _ in measured.values()), "")
    failed = [sentence for results, _ in measured.values() for sentence in tables.failures(results)]
    files = {"table.csv": means_csv(measured), "comparisons.csv": comparisons_csv(measured)}
    for ending in ("md", "tex", "html"):
        page = templates().get_template(f"tables.{ending}.j2")
        files[f"table.{ending}"] = page.render(**content, title=title, failed=failed)
    for name, text in files.items():
        write_text(Path(folder) / name, text)
    return [Path(folder) / name for name in files]


def written(table: Table, form: str) -> str:
    """One table as "md" (GitHub), "tex" (a floating table of the booktabs package) or "html" (the element)."""
    return str(getattr(templates().get_template("table.j2").module, form)(table))


def to_csv(table: Table) -> str:
    """One header row, "group name" where columns are grouped; what is missing is empty."""
    header = [f"{c.group} {c.name}".strip() for c in table.columns]
    return csv_text(header, ([cell or "" for cell in row] for row in table.rows))


def means_csv(measured: Measured) -> str:
    """The report's layout in one wide table; with blocks, their name stands in the first column."""
    unequal = bool(tables.where_n(list(measured.values())))
    columns: tuple[Column, ...] = ()
    rows: list[tuple[str | None, ...]] = []
    for block, (results, analysis) in measured.items():
        table = tables.means_table(results, analysis, block, n="column" if unequal else "")
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
        row |= vars(summary)
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


def _tables(measured: Measured) -> Iterator[Table]:
    for block, (results, analysis) in measured.items():
        yield from tables.means_tables(results, analysis, block)
        compared = tables.comparisons_table(results, analysis, block)
        if compared.rows:
            yield compared


def _lists(measured: Measured) -> Iterator[tuple[str, list[str]]]:
    for block, (results, analysis) in measured.items():
        where = f", {block}" if block else ""
        for title, sentences in tables.verdicts(results, analysis):
            yield f"Verdicts{where}: {title}", sentences
        other = tables.picture_verdicts(analysis)
        if other:
            yield f"Verdicts{where}: test accuracy, on other pictures of the same kind", other
        failed = tables.failures(results)
        if failed:
            yield f"Failed cells{where}", failed
