"""What ``foveate study show`` prints: means, verdicts, and what is missing, within the width of the screen."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as Screen

from foveate.cli.screen import out
from foveate.studies import tables
from foveate.studies.analysis import Analysis
from foveate.studies.results import Metric, StudyResults
from foveate.studies.verdict import Outcome

FEW_ARMS = 4
"""Up to so many arms stand beside each other, with a row for each metric; more arms have a row each."""
_MARKS: dict[Outcome, tuple[str, str]] = {
    "better": ("✓", "green"),
    "worse": ("✗", "red"),
    "different": ("≠", "cyan"),
    "none": (" ", ""),
    "unknown": ("?", "dim"),
}
LONGEST_NAME = 34
SENTENCES = 12
"""Verdicts beyond these are left to the marks."""
_GAP = 2

Rows = list[tuple[str, list[tuple[str, str]]]]
"""(name, [(text, style)])"""


def show(measured: tables.Measured, console: Console = out) -> None:
    """Print every block's means and verdicts."""
    for block, (results, analysis) in measured.items():
        console.print(f"[bold]{escape(tables.study_title(results, block))}[/]", soft_wrap=True)
        _means(results, analysis, console)
        _verdicts(results, analysis, console)
        for note in tables.notes(results, analysis):
            console.print(escape(note), style="dim")
        for line in tables.failures(results):
            console.print(f"[bold red]failed[/] {escape(line)}", soft_wrap=True)
        console.print()


def _means(results: StudyResults, analysis: Analysis, console: Console) -> None:
    heads, rows = list(map(tables.heading, results.metrics)), _rows(results, analysis)
    if len(results.arms) <= FEW_ARMS:
        arms = [name for name, _ in rows]
        rows = [(head, [cells[i] for _, cells in rows]) for i, head in enumerate(heads)]
        heads = arms
    widths, names = _widths(heads, rows), [name for name, _ in rows]
    for first, last in _parts(widths, names, console.width):
        table = Screen(box=None, padding=(0, _GAP, 0, 0), header_style="bold", pad_edge=False)
        table.add_column("", width=_widest(names, LONGEST_NAME))
        for head, width in zip(heads[first:last], widths[first:last], strict=True):
            table.add_column(escape(head), justify="right", width=width, vertical="bottom")
        for name, cells in rows:
            shown = (
                f"[{style}]{escape(text)}[/]" if style else escape(text) for text, style in cells[first:last]
            )
            table.add_row(escape(name), *shown)
        console.print(table)
    seen = {o for by_arm in analysis.outcomes.values() for o in by_arm.values()}
    legend = ", ".join(
        f"{_MARKS[o][0]} {words}" for o, words in tables.OUTCOMES.items() if o in seen and o != "none"
    )
    ns = sorted({tables.count(analysis, m, a) for m in results.metrics for a in results.arms})
    if ns:
        seeds = str(ns[0]) if len(ns) == 1 else f"{ns[0]} to {ns[-1]}"
        seeds += " seed" if ns == [1] else " seeds"
        text = f"mean ± standard deviation over {seeds}; compared with {results.baseline}"
        console.print(escape(f"{text}: {legend}" if legend else text), style="dim")


def _rows(results: StudyResults, analysis: Analysis) -> Rows:
    (table,) = tables.overview_tables(results, analysis, across=max(1, len(results.metrics))) or (None,)
    if table is None:
        return []
    n = len(table.columns) - len(results.metrics)
    return [
        (
            row[0] or "",
            [
                _cell(text, metric, arm, analysis)
                for text, metric in zip(row[n:], results.metrics, strict=True)
            ],
        )
        for row, arm in zip(table.rows, results.arms, strict=True)
    ]


def _cell(text: str | None, metric: Metric, arm: str, analysis: Analysis) -> tuple[str, str]:
    outcome = analysis.outcomes.get(metric.name, {}).get(arm)
    mark, style = _MARKS[outcome] if outcome else (" ", "")
    return f"{text or tables.DASH} {mark}", style


def _widths(heads: Sequence[str], rows: Rows) -> list[int]:
    """Of each column: its cells, and the longest word of its head."""
    return [
        max(_widest([cells[i][0] for _, cells in rows]), _widest(head.split()))
        for i, head in enumerate(heads)
    ]


def _parts(widths: Sequence[int], names: Sequence[str], screen: int) -> Iterator[tuple[int, int]]:
    """(first, last) columns that fit beside the names, as few times as possible."""
    left = screen - _GAP - _widest(names, LONGEST_NAME)
    first, used = 0, 0
    for i, width in enumerate(widths):
        if i > first and used + width + _GAP > left:
            yield first, i
            first, used = i, 0
        used += width + _GAP
    if widths:
        yield first, len(widths)


def _widest(texts: Sequence[str], most: int | None = None) -> int:
    widest = max((len(text) for text in texts), default=0)
    return widest if most is None else min(widest, most)


def _verdicts(results: StudyResults, analysis: Analysis, console: Console) -> None:
    groups, printed = tables.verdicts(results, analysis, tables.SEEN), 0
    for title, lines in groups:
        if printed and printed + len(lines) > SENTENCES:
            continue
        printed += len(lines)
        console.print(f"[bold]{escape(title)}[/]")
        for line in lines:
            console.print(Padding(escape(line), (0, 0, 0, 2)))
    left = sum(len(lines) for _, lines in groups) - printed
    if left:
        console.print(f"{left} further differences are marked above and stand in comparisons.csv.")
    outcomes = [o for by_arm in analysis.outcomes.values() for o in by_arm.values()]
    none, unknown = outcomes.count("none"), outcomes.count("unknown")
    if none:
        console.print(
            f"{none} of {len(outcomes)} comparisons {'shows' if none == 1 else 'show'} no detectable difference; "
            "comparisons.csv says which differences could have been seen."
        )
    if unknown:
        console.print(
            f"{unknown} of {len(outcomes)} comparisons {'has' if unknown == 1 else 'have'} too few seeds."
        )
