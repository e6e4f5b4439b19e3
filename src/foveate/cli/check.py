"""``foveate check``: what is wrong with a set of pictures, before a network is trained on it."""

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foveate.cli.flags import Typed, layout_of, option_of
from foveate.cli.screen import SlowWork, err
from foveate.data.audit import CODES, Audit, AuditConfig, Problem, audit
from foveate.data.audit.auditor import remember
from foveate.data.audit.checks import only_one_class
from foveate.data.catalog import SPLITS, UNLABELLED, Catalog
from foveate.data.discover import Discovery, discover
from foveate.data.split import load_split
from foveate.reporting.check import build_check_page

_EXAMPLES = 3
_BARS = 16
"""Classes that are shown with a bar, at most."""
_MARKS = {"error": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("i", "cyan")}


def check(
    data: Path,
    typed: Typed | None = None,
    *,
    json: Path | None = None,
    csv: Path | None = None,
    html: Path | None = None,
    split: Path | None = None,
    config: AuditConfig | None = None,
    console: Console | None = None,
) -> int:
    """Audit ``data``, print what was found, write it where asked.

    Args:
        data: a folder of pictures or a CSV table.
        typed: the flags that say how it is read.
        json: file for everything that was found.
        csv: file for the problems, one row each.
        html: file for a page with the classes, samples of them, and everything that was found.
        split: a split file to look at the pictures with.
        config: thresholds.
        console: where to print; None: standard output.

    Returns:
        The exit status: 1 with errors or only one class, else 0.

    Raises:
        ConfigError: a flag is not of the known forms.
        DataError: the folder or the split file cannot be used at all.
    """
    console = console or Console(highlight=False)
    found = discover(data, layout_of(typed or {}))
    catalog = load_split(split, found.catalog) if split else found.catalog
    with _progress() as progress:
        result = audit(catalog, config, empty_classes=found.empty_classes, progress=progress)
    if config in (None, AuditConfig()):
        remember(replace(found, catalog=catalog), result)
    _print_summary(console, data, found, catalog)
    _print_classes(console, catalog)
    _print_problems(console, result)
    _print_cues(console, result)
    page = partial(build_check_page, result)
    for file, save in ((json, result.save_json), (csv, result.save_csv), (html, page)):
        if file is not None:
            save(file)
            console.print(f"Written: {file}", soft_wrap=True)
    alone = only_one_class(catalog)
    console.print(
        Text(f"\n{alone}", style="bold red") if alone else _next(result, data, typed or {}), style="bold"
    )
    return 1 if result.errors or alone else 0


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error when that is a terminal, else a line there for what is slow."""
    if not sys.stderr.isatty():
        slow = SlowWork(time.monotonic)

        def tell(stage: str, done: int, total: int) -> None:
            if slow(stage, done, total):
                err.print(escape(f"{stage}: {done} of {total}"), style="dim", soft_wrap=True)

        yield tell
        return
    columns = (TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def step(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        yield step


def _print_summary(console: Console, data: Path, found: Discovery, catalog: Catalog) -> None:
    counts = catalog.counts()
    table = Table.grid(padding=(0, 2))
    table.add_row("Pictures", f"{len(catalog)} ({found.layout})")
    if len(counts):
        spread = (
            f"{counts.min()} to {counts.max()} pictures each"
            if counts.min() < counts.max()
            else f"{counts.max()} each"
        )
        table.add_row("Classes", f"{len(counts)}, {spread}")
    unlabelled = int((catalog.labels == UNLABELLED).sum())
    if unlabelled:
        table.add_row("Unlabelled", str(unlabelled))
    if catalog.attributes:
        known = [f"{name} ({len({*catalog.values(name)} - {''})} values)" for name in catalog.attributes]
        table.add_row("Attributes", ", ".join(known))
    splits = [f"{name} {len(catalog.indices(name, labelled=False))}" for name in SPLITS]
    splits = [text for text in splits if not text.endswith(" 0")]
    table.add_row("Splits", ", ".join(splits) or "none yet")
    groups = {sample.group for sample in catalog.samples if sample.group}
    if groups:
        table.add_row("Groups", str(len(groups)))
    masks = [sample.mask.split(":")[0].split("[")[0] for sample in catalog.samples if sample.mask]
    kinds = ", ".join(sorted(set(masks)))
    table.add_row("Masks", f"{len(masks)} ({kinds})" if masks else "none")
    console.print(Text(str(data), style="bold"))
    console.print(table)
    for note in found.notes:
        console.print(Text(f"  {note}", style="dim"))


def _print_classes(console: Console, catalog: Catalog) -> None:
    """A bar for each class; of many classes the largest and the smallest."""
    counts = catalog.counts()
    if len(counts) < 2:
        return
    order = range(len(counts)) if len(counts) <= _BARS else np.argsort(-counts, kind="stable").tolist()
    listed = list(order)
    left = len(listed) - _BARS
    if left > 0:
        listed = [*listed[: _BARS // 2], -1, *listed[-_BARS // 2 :]]
    room = max(10, min(40, console.width - 40))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(max_width=28, no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right")
    for label in listed:
        if label < 0:
            table.add_row(Text(f"… {left} more", style="dim"))
            continue
        bar = ProgressBar(counts.max(), counts[label], width=room)
        table.add_row(Text(f"  {catalog.classes[label]}"), str(counts[label]), bar)
    console.print()
    console.print(table)


def _print_problems(console: Console, result: Audit) -> None:
    by_code: dict[str, list[Problem]] = {}
    for problem in result.problems:
        if problem.code != "shortcut":  # said with the cues
            by_code.setdefault(problem.code, []).append(problem)
    console.print()
    if not by_code:
        console.print(Text("✓ Every picture can be used, and no two are alike.", style="green"))
    for code, problems in by_code.items():
        mark, style = _MARKS[CODES[code].severity]
        shared = {problem.message for problem in problems if problem.path}
        advice = CODES[code].advice or (shared.pop() if len(shared) == 1 else "").rstrip(".")
        title = Text.assemble((f"{mark} {CODES[code].title}", style), (f"  {len(problems)}", "bold"))
        title.append(f"  {advice}" if advice else "", "dim")
        console.print(title, no_wrap=True, overflow="ellipsis")
        for problem in problems[:_EXAMPLES]:
            line = Text(_example(problem, console.width - 4, alone=bool(advice)))
            console.print(Padding(line, (0, 0, 0, 4)), no_wrap=bool(problem.path), overflow="ellipsis")
        if len(problems) > _EXAMPLES:
            console.print(Text(f"    … and {len(problems) - _EXAMPLES} more", style="dim"))


def _example(problem: Problem, width: int, *, alone: bool) -> str:
    """One line for one problem, its paths shortened at the front; ``alone``: the title said its message."""
    between = " ≈ " if problem.code.startswith("near-") else " = " if problem.code.startswith("dup") else ""
    if between:
        shown, more = problem.paths[:3], len(problem.paths) - 3
        end = f" and {more} more" if more > 0 else ""
        return between.join(_shorten(path, (width - len(end)) // len(shown) - 3) for path in shown) + end
    if not problem.path:
        return problem.message
    return (
        _shorten(problem.path, width) if alone else f"{_shorten(problem.path, width // 2)}: {problem.message}"
    )


def _shorten(path: str, room: int) -> str:
    return path if len(path) <= room else f"…{path[1 - room :]}"


def _print_cues(console: Console, result: Audit) -> None:
    if not result.cues:
        return
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("How well a trivial cue alone gives the class")
    for title in ("accuracy", "95 % interval", "chance", "pictures"):
        table.add_column(title, justify="right")
    for cue in result.cues:
        style = ("yellow" if cue.kind == "shortcut" else "cyan") if cue.far_above else ""
        low, high = cue.interval
        interval = f"{low:.0%} to {high:.0%}" if high > low else "all the same"
        table.add_row(
            f"  {cue.name}", f"{cue.accuracy:.0%}", interval, f"{cue.chance:.0%}", str(cue.n), style=style
        )
    console.print(table)
    for cue in result.cues:
        if cue.far_above:
            mark, style = _MARKS["warning" if cue.kind == "shortcut" else "info"]
            line = Table.grid(padding=(0, 1))
            line.add_row(Text(mark, style=style), cue.verdict)
            console.print(line)


def _next(result: Audit, data: Path, typed: Typed) -> Text:
    warnings = sum(problem.severity == "warning" for problem in result.problems)
    if result.errors:
        text = (
            f"{_count(len(result.errors), 'error')}, {_count(warnings, 'warning')}. Mend the errors, or "
            f"train with --quarantine, which leaves out {_count(len(result.quarantine()), 'picture')}."
        )
        return Text(f"\n{text}", style="bold red")
    said = _count(warnings, "warning") if warnings else "Nothing wrong"
    undecided = all(sample.split == "" for sample in result.catalog.samples)
    flags = (
        (option_of(name), str(value))
        for name, given in typed.items()
        for value in (given if isinstance(given, list) else [given])
    )
    again = shlex.join([str(data), *(text for pair in flags for text in pair)])
    step = f"foveate split {again} --out split.csv" if undecided else f"foveate train {again} --out RUN"
    return Text(f"\n{said}, no errors. Next: {step}", style="bold green")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
