"""The tables of a study: means and standard deviations as in the report, and comparisons with the baseline."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from foveate.studies.analysis import Analysis
from foveate.studies.number_format import digits, fixed, p_text
from foveate.studies.results import Metric, StudyResults
from foveate.studies.statistics import ALPHA
from foveate.studies.verdict import SEEN, Outcome

DASH = "–"
Measured = Mapping[str, tuple[StudyResults, Analysis]]
"""{block: what was measured, and what it shows}; the only key is "" in a study without blocks."""
ARMS_ACROSS = 6
"""More arms than this do not fit across a page: further ones stand in a table of their own, beside the baseline."""
BEYOND = "more than any gain possible"
OUTCOMES: dict[Outcome, str] = {
    "better": "better",
    "worse": "worse",
    "different": "different",
    "none": "no detectable difference",
    "unknown": "too few seeds to tell",
}
ABOUT_COMPARISONS = (
    "Differences of percentages are percentage points. Intervals are for each comparison alone; p is after Holm's "
    "correction over the arms of a metric. Effect size: Hedges' g of the paired differences. Detectable: the smallest "
    "true difference that this design shows with power 0.8. Intervals of shares end at 0 and 100 %."
)


@dataclass(frozen=True)
class Column:
    name: str
    group: str = ""
    """Stands above neighbouring columns of the same group."""
    number: bool = True
    """Aligned to the right; a hyphen is a minus."""


@dataclass(frozen=True)
class Table:
    """Cells are finished text; None is a value that is not there."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | None, ...], ...]
    notes: tuple[str, ...] = ()
    sections: bool = False
    """Rows with the same first cell belong together: it is written once."""
    classes: tuple[str, ...] = ()
    """One for each row, for the HTML's style sheet."""

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        """(group, first column, last) of neighbouring columns; a column without a group stands alone."""
        found = groupby(enumerate(self.columns), key=lambda one: one[1].group or one[0])
        same = [list(columns) for _, columns in found]
        return [(columns[0][1].group, columns[0][0], columns[-1][0]) for columns in same]

    @property
    def parts(self) -> list[list[tuple[str, list[str]]]]:
        """(class, cells as they are shown) of each row, the rows of a section together."""
        shown = [
            [
                DASH if cell is None else cell.replace("-", "−") if column.number else cell
                for cell, column in zip(row, self.columns, strict=True)
            ]
            for row in self.rows
        ]
        rows = zip(self.classes or [""] * len(shown), shown, strict=True)
        return [list(same) for _, same in groupby(rows, key=lambda row: self.sections and row[1][0])]


def judged(results: StudyResults) -> tuple[Metric, ...]:
    """Metrics with a good direction; all where none has one."""
    return tuple(m for m in results.metrics if m.better != "neither") or results.metrics


def primary_metric(results: StudyResults, analysis: Analysis) -> Metric | None:
    """The metric that the study is about; where nothing says it, the first judged one that was compared."""
    known = [m for m in results.metrics if m.name == results.primary] or judged(results)
    return next((m for m in known if primary_arms(results, analysis, m)), None)


def primary_arms(results: StudyResults, analysis: Analysis, metric: Metric) -> list[str]:
    """The arm of the primary comparison, or all; without those that have no pair yet."""
    found = analysis.comparisons.get(metric.name, {})
    arms = (
        [results.primary_arm] if results.primary_arm else [a for a in results.arms if a != results.baseline]
    )
    return [arm for arm in arms if arm in found and found[arm].difference is not None]


def primary_blocks(measured: Measured) -> list[tuple[str, StudyResults, Analysis]]:
    """The tables that the primary comparison is made in: those over the sets where there are sets, else all."""
    pooled = [(name, *one) for name, one in measured.items() if one[0].unit == "set"]
    return pooled or [(name, *one) for name, one in measured.items()]


def means_tables(
    results: StudyResults, analysis: Analysis, block: str = "", across: int = ARMS_ACROSS
) -> list[Table]:
    """The report's layout, at most ``across`` arms beside each other; the baseline stands in each table."""
    others = [arm for arm in results.arms if arm != results.baseline]
    parts = [others[i : i + across - 1] for i in range(0, len(others), across - 1)]
    arms = [(results.baseline, *part) for part in parts] if len(parts) > 1 else [results.arms]
    return _numbered([means_table(results, analysis, block, part) for part in arms])


def means_table(
    results: StudyResults,
    analysis: Analysis,
    block: str = "",
    arms: Sequence[str] | None = None,
    n: Literal["", "name", "column"] | None = None,
) -> Table:
    """Rows are metrics; each arm has a column Mean and a column Std.

    ``n``: where the number of seeds stands, where not all are equal: beside the arm's name, or in a column of its own;
    None chooses.
    """
    arms = results.arms if arms is None else arms
    n = where_n([(results, analysis)]) if n is None else n
    columns = [Column("Metric", number=False)]
    for arm in arms:
        seen = max((count(analysis, metric, arm) for metric in results.metrics), default=0)
        names = ("Mean", "Std", "n") if n == "column" else ("Mean", "Std")
        columns += [Column(name, f"{arm} (n = {seen})" if n == "name" else arm) for name in names]
    rows = []
    for metric in results.metrics:
        form = digits(analysis, metric)
        row: list[str | None] = [heading(metric)]
        for arm in arms:
            summary = analysis.summaries.get(metric.name, {}).get(arm)
            row += [form.mean(summary.mean), form.mean(summary.std)] if summary else [None, None]
            row += [str(count(analysis, metric, arm))] if n == "column" else []
        rows.append(tuple(row))
    title = _means_title(results, analysis, block)
    return Table(title, tuple(columns), tuple(rows), notes(results, analysis))


def where_n(studies: Sequence[tuple[StudyResults, Analysis]]) -> Literal["", "name", "column"]:
    """Nowhere where every mean has the same number of values, with the arm's name where only arms differ."""
    counts = [
        {count(analysis, metric, arm) for metric in results.metrics}
        for results, analysis in studies
        for arm in results.arms
    ]
    if len(set().union(*counts)) <= 1:
        return ""
    return "name" if len(studies) == 1 and all(len(of_arm) <= 1 for of_arm in counts) else "column"


def overview_tables(
    results: StudyResults, analysis: Analysis, block: str = "", across: int = 6
) -> list[Table]:
    """The same numbers turned round, for many arms: rows are arms, cells are "mean ± std"; ``across`` metrics each."""
    parts = [results.metrics[i : i + across] for i in range(0, len(results.metrics), across)]
    return _numbered([_overview(results, analysis, block, part) for part in parts])


def _numbered(tables: list[Table]) -> list[Table]:
    """Parts of one table: the title counts them, the notes stand below the last."""
    if len(tables) > 1:
        tables = [
            replace(
                table, title=f"{table.title} ({k} of {len(tables)})", notes=table.notes * (k == len(tables))
            )
            for k, table in enumerate(tables, start=1)
        ]
    return tables


def _overview(results: StudyResults, analysis: Analysis, block: str, metrics: Sequence[Metric]) -> Table:
    unequal = bool(where_n([(results, analysis)]))
    rows = []
    for arm in results.arms:
        row: list[str | None] = [arm + (" (baseline)" if arm == results.baseline else "")]
        if unequal:
            row.append(span(count(analysis, metric, arm) for metric in metrics))
        for metric in metrics:
            summary = analysis.summaries.get(metric.name, {}).get(arm)
            form = digits(analysis, metric)
            row.append(form.plus_minus(summary.mean, summary.std) if summary else None)
        rows.append(tuple(row))
    names = ["n"] * unequal + [heading(metric) for metric in metrics]
    columns = (Column("Arm", number=False), *map(Column, names))
    classes = tuple("baseline" if arm == results.baseline else "" for arm in results.arms)
    title = _means_title(results, analysis, block)
    return Table(title, columns, tuple(rows), notes(results, analysis), classes=classes)


def comparisons_table(results: StudyResults, analysis: Analysis, block: str = "") -> Table:
    """Each arm against the baseline, paired by seed; one section for each metric."""
    rows: list[tuple[str | None, ...]] = []
    classes = []
    exploratory = " (exploratory)" if results.stage and results.stage.exploratory else ""
    alpha = next((c.alpha for found in analysis.comparisons.values() for c in found.values()), ALPHA)
    for metric in results.metrics:
        form = digits(analysis, metric)
        for arm, c in analysis.comparisons.get(metric.name, {}).items():
            outcome = analysis.outcomes[metric.name][arm]
            classes.append(outcome)
            rows.append(
                (
                    heading(metric), arm, str(c.n), form.difference(c.difference, sign=True),
                    form.interval(c.low, c.high), p_text(c.p_holm),
                    None if c.hedges_g is None else fixed(c.hedges_g, 2),
                    form.difference(c.detectable.smallest) if c.detectable.room is None else BEYOND,
                    OUTCOMES[outcome].replace("seeds", f"{results.unit}s") + exploratory * (outcome in SEEN),
                )
            )  # fmt: skip
    level = f"{100 * (1 - alpha):.4g} % interval"
    names = (
        "Metric",
        "Arm",
        "Pairs",
        "Difference",
        level,
        "p (Holm)",
        "Effect size",
        "Detectable",
        "Verdict",
    )
    columns = tuple(Column(name, number=name not in ("Metric", "Arm", "Verdict")) for name in names)
    title = f"{study_title(results, block)}: differences from {results.baseline}, paired by {results.unit}"
    return Table(title, columns, tuple(rows), (ABOUT_COMPARISONS,), sections=True, classes=tuple(classes))


def verdicts(
    results: StudyResults, analysis: Analysis, outcomes: Sequence[Outcome] = tuple(OUTCOMES)
) -> list[tuple[str, list[str]]]:
    """(metric's title, "arm: verdict." of each arm with one of ``outcomes``), in the order of the study."""
    found = []
    for metric in results.metrics:
        said = analysis.verdicts.get(metric.name, {})
        known = analysis.outcomes.get(metric.name, {})
        sentences = [f"{arm}: {text}." for arm, text in said.items() if known[arm] in outcomes]
        found += [(metric.title, sentences)] if sentences else []
    return found


def picture_verdicts(analysis: Analysis) -> list[str]:
    """ "arm: verdict." on other pictures of the same kind, for each arm with predictions."""
    return [f"{arm}: {text}." for arm, text in analysis.picture_verdicts.items()]


def failures(results: StudyResults) -> list[str]:
    """One sentence for each failed cell, in the order of the study."""
    order = {arm: i for i, arm in enumerate(results.arms)}
    cells = sorted(results.failures.items(), key=lambda cell: (order.get(cell[0][0], len(order)), cell[0]))
    return [f"{arm}, {results.name_of(seed)}: {reason}" for (arm, seed), reason in cells]


def heading(metric: Metric) -> str:
    """The metric's title with its unit."""
    return f"{metric.title} (%)" if metric.percent else metric.title


def study_title(results: StudyResults, block: str = "") -> str:
    return f"{results.name}, {block}" if block else results.name


def count(analysis: Analysis, metric: Metric, arm: str) -> int:
    """Seeds with a value."""
    summary = analysis.summaries.get(metric.name, {}).get(arm)
    return summary.n if summary else 0


def unfinished(results: StudyResults) -> int:
    """Cells that have neither a value nor a failure yet."""
    cells = {(arm, seed) for arm in results.arms for seed in results.seeds}
    by_arm = [(arm, seeds) for arms in results.values.values() for arm, seeds in arms.items()]
    return len(cells - {(arm, seed) for arm, seeds in by_arm for seed in seeds} - set(results.failures))


def notes(results: StudyResults, analysis: Analysis) -> tuple[str, ...]:
    """What a dash and a missing cell mean, as far as there are any, then what the analysis has to say."""
    found = []
    cells, waiting = len(results.arms) * len(results.seeds), unfinished(results)
    if waiting and results.unit != "set":  # which sets are left out, and why, is among the notes
        found.append(f"{waiting} of {cells} cells are not finished.")
    shown = [count(analysis, metric, arm) for metric in results.metrics for arm in results.arms]
    if 0 in shown:
        found.append("A dash: no finished cell has measured this.")
    if 1 in shown:
        found.append("A single value has no standard deviation.")
    found += filter(None, [unpaired(results, analysis)])
    return (*found, *analysis.notes)


def span(numbers: Iterable[int]) -> str:
    """ "3", "2 to 5"; "" of nothing."""
    known = sorted(set(numbers))
    return "" if not known else str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"


def unpaired(results: StudyResults, analysis: Analysis) -> str:
    """Why differences are not those of the means, where some cell has no partner; else ""."""
    for metric in results.metrics:
        for arm, c in analysis.comparisons.get(metric.name, {}).items():
            if 0 < c.n < max(count(analysis, metric, one) for one in (arm, results.baseline)):
                return (
                    f"Means are over all finished {results.unit}s, differences over those that both arms have: they "
                    "need not agree."
                )
    return ""


def _means_title(results: StudyResults, analysis: Analysis, block: str) -> str:
    counts = {count(analysis, metric, arm) for metric in results.metrics for arm in results.arms}
    title = f"{study_title(results, block)}: mean and standard deviation"
    if len(counts) > 1:
        return f"{title} over {results.unit}s; n is their number"
    n = next(iter(counts), 0)
    return f"{title} over {n} {results.unit}{'' if n == 1 else 's'}"
