"""What ``foveate study`` prints: how far it is, means, verdicts, what is missing, within the width of the screen."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from foveate.cli.screen import out, print_in_parts, say
from foveate.core.durations import about
from foveate.studies import tables
from foveate.studies.analysis import Analysis, to_win_back
from foveate.studies.engine import StudyObserver
from foveate.studies.expectation import Expectation
from foveate.studies.metrics import choose_metrics
from foveate.studies.number_format import digits, p_text
from foveate.studies.results import Metric, StudyResults
from foveate.studies.specification import Cell
from foveate.studies.verdict import SEEN, Outcome

FEW_ARMS = 4
"""Up to so many arms stand beside each other, with a row for each metric; more arms have a row each."""
_MARKS: dict[Outcome, tuple[str, str]] = {
    "better": ("✓", "green"),
    "worse": ("✗", "red"),
    "different": ("≠", "cyan"),
    "none": (" ", ""),
    "unknown": ("?", "dim"),
}
_OF_ARMS: dict[Outcome, tuple[str, str]] = {
    "better": ("is better", "are better"),
    "worse": ("is worse", "are worse"),
    "different": ("differs", "differ"),
    "none": ("shows no detectable difference", "show no detectable difference"),
    "unknown": ("has too few seeds to tell", "have too few seeds to tell"),
}
"""What is said of one arm, and of several."""
LONGEST_NAME = 34
SENTENCES = 12
"""Verdicts beyond these are left to the marks."""


def show(
    measured: tables.Measured, folder: Path, console: Console = out, *, everything: bool = False
) -> None:
    """Print the primary metric, then the means of others as far as they fit in one table; or all of every block."""
    if not everything:
        _brief(measured, folder, console)
        return
    for block, (results, analysis) in measured.items():
        say((tables.study_title(results, block), "bold"), console=console)
        _means(results, analysis, results.metrics, console)
        _about_means(results, analysis, console)
        _verdicts(results, analysis, console)
        _notes(tables.notes(results, analysis), console)
        _failures(results, console)
        console.print()


def show_next(measured: tables.Measured, folder: Path, console: Console = out) -> None:
    """Name the command that makes a network of a finished study: of the arm that was shown to be better, else of the
    baseline."""
    (results, analysis), *others = measured.values()
    metric = tables.primary_metric(results, analysis)
    unfinished = results.stage is not None and results.stage.done < results.stage.looks[-1]
    if others or metric is None or unfinished or results.failures:
        return
    outcomes, found = analysis.outcomes[metric.name], analysis.comparisons[metric.name]
    better = [arm for arm in tables.primary_arms(results, analysis, metric) if outcomes[arm] == "better"]
    arm = max(better, key=lambda arm: abs(found[arm].difference or 0), default=results.baseline)
    told = f"foveate study final {shlex.quote(str(folder))} --arm {shlex.quote(arm)} --out RUN"
    why = {0: "no other was shown to be better", 1: "it was shown to be better"}.get(
        len(better),
        f"of {len(better)} shown to be better it gained most; they were not compared with each other",
    )
    say(f"Next, to train '{arm}' once more on all pictures ({why}): {told}", console=console)


def _brief(measured: tables.Measured, folder: Path, console: Console) -> None:
    blocks = tables.primary_blocks(measured)
    known = [(*block, metric) for block in blocks if (metric := tables.primary_metric(*block[1:]))]
    first, *_ = measured.values()
    say((first[0].name, "bold"), console=console)
    said: list[str] = []
    for name, results, analysis, metric in known:
        _primary(name, results, analysis, metric, console)
        said += _about_primary(results, analysis, metric, console)
    _notes(dict.fromkeys(said), console)
    if not known:
        say("Nothing can be compared yet.", console=console)
    for results, _ in measured.values():
        _failures(results, console)
    hidden = [m for m in first[0].metrics if not known or m.name != known[0][3].name]
    if len(measured) == 1 and hidden:
        console.print()
        shown = _means(*first, hidden, console, once=True)
        _about_means(*first, console)
        hidden = hidden[shown:]
    left = [f"{len(hidden)} more metrics"] * bool(hidden) + [f"{len(measured)} tables"] * (len(measured) > 1)
    command = f"foveate study show {shlex.quote(str(folder))} --all"
    say(f"{', '.join([*left, 'all verdicts and notes'])}: {command}", style="dim", console=console)


def _primary(name: str, results: StudyResults, analysis: Analysis, metric: Metric, console: Console) -> None:
    form, found = digits(analysis, metric), analysis.comparisons[metric.name]
    level = next((100 * (1 - c.alpha) for c in found.values()), 95)
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    made.add_column(Text(", ".join(filter(None, (name, tables.heading(metric))))), max_width=LONGEST_NAME)
    for head in ("mean ± std", "difference", f"{level:.4g} % interval", "p", ""):
        made.add_column(head, justify="right", vertical="bottom", no_wrap=True)
    for arm in results.arms:
        summary, c = analysis.summaries.get(metric.name, {}).get(arm), found.get(arm)
        outcome = analysis.outcomes[metric.name].get(arm)
        mark, style = _MARKS[outcome] if outcome else (" ", "")
        mean = form.plus_minus(summary.mean, summary.std) if summary else None
        shown = [
            mean,
            *(
                (form.difference(c.difference, sign=True), form.interval(c.low, c.high), p_text(c.p_holm))
                if c
                else ()
            ),
        ]
        cells = [(text or tables.DASH).replace("-", "−") for text in shown] + [""] * (4 - len(shown))
        made.add_row(
            Text(arm, "bold" if arm == results.primary_arm else ""), *(Text(x, style) for x in (*cells, mark))
        )
    console.print(made)
    if legend := _legend(analysis.outcomes[metric.name].values()):
        console.print(Text(legend, "dim"))


def _about_primary(results: StudyResults, analysis: Analysis, metric: Metric, console: Console) -> list[str]:
    """Print the verdicts of the primary metric; return the notes that belong to it."""
    outcomes, said = analysis.outcomes[metric.name], analysis.verdicts[metric.name]
    told = [results.primary_arm] if results.primary_arm in said else [a for a in said if outcomes[a] in SEEN]
    left = [arm for arm in said if arm not in told]
    if len(left) <= FEW_ARMS - 2:
        told, left = [*told, *left], []
    for arm in told[:SENTENCES]:
        console.print(Text(f"{arm}: {said[arm]}."))
    kinds = [outcomes[arm] for arm in left]
    words = [f"{kinds.count(o)} {_OF_ARMS[o][kinds.count(o) > 1]}" for o in dict.fromkeys(kinds)]
    if words:
        console.print(Text(f"Of the {len(left)}{' other' if told else ''} arms {', '.join(words)}."))
    plan = (results.stage.exploratory, results.stage.plan) if results.stage else ()
    # Of every metric: a tick in the table below does not say that the placebo has one, too.
    gains = tuple(f"{arm}, {one.title}: the gain" for arm in said for one in results.metrics)
    placebos = [note for note in analysis.notes if note.startswith(gains)][:SENTENCES]
    return [
        *filter(None, (*plan, tables.unpaired(results, analysis))), *placebos,
        *filter(None, [to_win_back(results)]), *results.notes,
    ]  # fmt: skip


def _notes(notes: Iterable[str], console: Console) -> None:
    for note in notes:
        console.print(Text(note, "dim"))


def _failures(results: StudyResults, console: Console) -> None:
    for line in tables.failures(results):
        say(("failed", "bold red"), f" {line}", console=console)


def _means(
    results: StudyResults, analysis: Analysis, metrics: Sequence[Metric], console: Console, once: bool = False
) -> int:
    """Print the means of ``metrics``; with ``once`` those that fit beside each other. Return how many."""
    results = replace(results, metrics=tuple(metrics))
    (found,) = tables.overview_tables(results, analysis, across=max(1, len(metrics))) or (None,)
    rows: dict[str, Sequence[Text]] = {}
    for row, arm in zip(found.rows if found else (), results.arms, strict=bool(found)):
        texts = zip(row[-len(metrics) :], metrics, strict=True)
        rows[row[0] or ""] = [_cell(text, metric, arm, analysis) for text, metric in texts]
    heads = list(map(tables.heading, metrics))
    if len(results.arms) <= FEW_ARMS:
        rows, heads = dict(zip(heads, zip(*rows.values(), strict=True), strict=True)), list(rows)
        print_in_parts(partial(_part, heads, rows), range(len(heads)), console)
        return len(metrics)
    return print_in_parts(partial(_part, heads, rows), range(len(heads)), console, once=once)


def _about_means(results: StudyResults, analysis: Analysis, console: Console) -> None:
    legend = _legend(o for by_arm in analysis.outcomes.values() for o in by_arm.values())
    ns = sorted({tables.count(analysis, m, a) for m in results.metrics for a in results.arms})
    if ns:
        seeds = tables.span(ns) + (f" {results.unit}" if ns == [1] else f" {results.unit}s")
        text = f"mean ± standard deviation over {seeds}; compared with {results.baseline}"
        console.print(Text(f"{text}: {legend}" if legend else text, "dim"))


def _legend(outcomes: Iterable[Outcome]) -> str:
    """What the marks mean, of those that are there: "✓ better, ? too few seeds to tell"."""
    seen = set(outcomes) - {"none"}
    return ", ".join(f"{_MARKS[o][0]} {words}" for o, words in tables.OUTCOMES.items() if o in seen)


def _cell(text: str | None, metric: Metric, arm: str, analysis: Analysis) -> Text:
    outcome = analysis.outcomes.get(metric.name, {}).get(arm)
    mark, style = _MARKS[outcome] if outcome else (" ", "")
    return Text(f"{text or tables.DASH} {mark}", style)


def _part(heads: Sequence[str], rows: dict[str, Sequence[Text]], part: Sequence[int]) -> Table:
    """The columns ``part`` beside the names, each as wide as its cells and the longest word of its head."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    made.add_column("", width=min(max(map(len, rows), default=0), LONGEST_NAME))
    for i in part:
        width = max(len(text) for text in [cells[i].plain for cells in rows.values()] + heads[i].split())
        made.add_column(Text(heads[i]), justify="right", width=width, vertical="bottom")
    for name, cells in rows.items():
        made.add_row(Text(name), *(cells[i] for i in part))
    return made


def _verdicts(results: StudyResults, analysis: Analysis, console: Console) -> None:
    groups, printed = tables.verdicts(results, analysis, SEEN), 0
    for title, lines in groups:
        if printed and printed + len(lines) > SENTENCES:
            continue
        printed += len(lines)
        console.print(Text(title, "bold"))
        for line in lines:
            console.print(Padding(Text(line), (0, 0, 0, 2)))
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


class Screen(StudyObserver):
    """What is said while cells are trained."""

    failures = left = 0
    wants_expectation = True

    def expected(self, found: Expectation) -> None:
        many = "1 training" if found.trainings == 1 else f"{found.trainings} trainings"
        stops = ", usually much less, since training stops early" if found.stops else ""
        steps = (
            f"about {about(found.seconds or 0)} at most{stops} (from timed steps of {found.timed} of them)"
        )
        say(
            (many, "bold"),
            f" ahead: {f'{steps}; measuring comes on top' if found.timed else 'none could be timed'}.",
        )
        title = " and ".join(metric.title for metric in choose_metrics([found.primary]))
        say(f"The study is about: {title}{f' ({found.primary})' * (title != found.primary)}.")
        if found.detectable:
            say(found.detectable)
            say("foveate plan tells other cases.", style="dim")

    def begin(self, total: int, kept: Sequence[Cell], resumed: Sequence[Cell]) -> None:
        if len(kept) < total:
            say("A line follows whenever one has ended, and tells the time that is left.", style="dim")
        for what, cells in (("are finished and kept", kept), ("go on from where they were", resumed)):
            if cells:
                say(f"{len(cells)} of {total} cells {what}: {_listed(cells)}.")

    def reused(self, cells: Sequence[Cell]) -> None:
        many = "1 cell was" if len(cells) == 1 else f"{len(cells)} cells were"
        say(f"{many} computed for another study and copied: {_listed(cells)}.")

    def done(self, cell: Cell, done: int, total: int, seconds_left: float) -> None:
        say(f"[{done}/{total}] {cell} · {about(seconds_left)} left")

    def failed(self, cell: Cell, error: str) -> None:
        self.failures += 1
        say(("failed", "bold red"), f" {cell}: {error}")

    def stopped(self, left: Sequence[Cell]) -> None:
        self.left = len(left)


def _listed(cells: Sequence[Cell]) -> str:
    """Cells by block and arm, with their seeds."""
    seeds: dict[str, list[str]] = {}
    for cell in cells:
        name = ", ".join(part for part in (cell.block, cell.arm) if part)
        seeds.setdefault(name, []).append(str(cell.seed))
    return "; ".join(
        f"{name} (seed{'s' if len(numbers) > 1 else ''} {', '.join(numbers)})"
        for name, numbers in seeds.items()
    )
