"""What ``foveate check`` does and prints: what is wrong with a set of pictures, before a network is trained on it."""

import shlex
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foveate.cli.flags import Typed, as_typed, layout_of
from foveate.cli.screen import Bars, err, say, table
from foveate.data.audit import CODES, Audit, AuditConfig, Problem, audit
from foveate.data.audit.auditor import remember
from foveate.data.audit.checks import only_one_class
from foveate.data.cache_config import CacheConfig
from foveate.data.catalog import SPLITS, UNLABELLED, Catalog
from foveate.data.discover import Discovery, discover
from foveate.data.split import load_split
from foveate.reporting.check import build_check_page

_EXAMPLES = 3
_DOUBTS = 10
_BARS = 16
"""Classes that are shown with a bar, at most."""
_MARKS = {"error": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("i", "cyan")}


def check_pictures(
    data: Path,
    typed: Typed | None = None,
    *,
    json: Path | None = None,
    csv: Path | None = None,
    html: Path | None = None,
    split: Path | None = None,
    labels: str | None = None,
    config: AuditConfig | None = None,
    console: Console | None = None,
) -> int:
    """Audit ``data``, print what was found, write it where asked.

    Args:
        typed: the flags that say how it is read.
        split: a split file to look at the pictures with.
        labels: a network that doubts labels.
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
    bars = Bars(err)
    try:
        result = audit(
            catalog, config, empty_classes=found.empty_classes, cache=CacheConfig(), progress=bars.progress
        )
        if config in (None, AuditConfig()):
            remember(replace(found, catalog=catalog), result)
        if labels is not None:
            from foveate.studies.label_errors import with_doubted_labels

            result = with_doubted_labels(result, labels, progress=bars.progress)
    finally:
        bars.close()
    _print_summary(console, data, found, catalog, Counter(result.mask_sources))
    _print_classes(console, result)
    _print_problems(console, result)
    _print_cues(console, result)
    page = partial(build_check_page, result, notes=found.notes)
    for file, save in ((json, result.save_json), (csv, result.save_csv), (html, page)):
        if file is not None:
            save(file)
            say(f"Written: {file}", console=console)
    alone = only_one_class(catalog)
    console.print(
        Text(f"\n{alone}", style="bold red") if alone else _next(result, data, typed or {}), style="bold"
    )
    return 1 if result.errors or alone else 0


def _print_summary(
    console: Console, data: Path, found: Discovery, catalog: Catalog, masks_from: Counter[str]
) -> None:
    counts = catalog.counts()
    unlabelled = int((catalog.labels == UNLABELLED).sum())
    attributes = [f"{name} ({len({*catalog.values(name)} - {''})} values)" for name in catalog.attributes]
    sizes = {name: len(catalog.indices(name, labelled=False)) for name in SPLITS}
    groups = {sample.group for sample in catalog.samples if sample.group}
    masks = [sample.mask.split(":")[0].split("[")[0] for sample in catalog.samples if sample.mask]
    origin = [f"{masks_from[name]} {name}" for name in ("drawn", "proposed") if masks_from["proposed"]]
    spread = ""
    if len(counts):
        low, high = counts.min(), counts.max()
        spread = f"{low} to {high} pictures each" if low < high else f"{high} each"
    rows = {
        "Pictures": f"{len(catalog)} ({found.layout})",
        "Classes": f"{len(counts)}, {spread}" if spread else "",
        "Unlabelled": str(unlabelled or ""),
        "Attributes": ", ".join(attributes),
        "Splits": ", ".join(f"{name} {size}" for name, size in sizes.items() if size) or "none yet",
        "Groups": str(len(groups) or ""),
        "Masks": f"{len(masks)} ({', '.join([*sorted(set(masks)), *origin])})" if masks else "none",
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        if value:
            grid.add_row(name, Text(value))
    console.print(Text(str(data), style="bold"))
    console.print(grid)
    for note in found.notes:
        console.print(Text(f"  {note}", style="dim"))


def _print_classes(console: Console, result: Audit) -> None:
    """A bar for each class, and where not all masks are alike how many it has; of many classes the largest and the
    smallest."""
    catalog = result.catalog
    counts, masks = catalog.counts(), list(result.masks_by_class().values())
    mixed = len({*result.mask_sources}) > 1
    if len(counts) < 2:
        return
    listed, left = list(range(len(counts))), len(counts) - _BARS
    if left > 0:
        order = np.argsort(-counts, kind="stable").tolist()
        listed = [*order[: _BARS // 2], -1, *order[-_BARS // 2 :]]
    room = max(10, min(40, console.width - 40))
    shown = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    shown.add_column(max_width=28, no_wrap=True, overflow="ellipsis")
    shown.add_column(justify="right")
    for label in listed:
        if label < 0:
            shown.add_row(Text(f"… {left} more", style="dim"))
            continue
        bar = ProgressBar(counts.max(), counts[label], width=room)
        said = [
            f"{number} {'without mask' if name == 'none' else name}"
            for name, number in masks[label].items()
            if number
        ]
        row = (Text(f"  {catalog.classes[label]}"), str(counts[label]), bar)
        shown.add_row(*row, *([Text(", ".join(said), "dim")] if mixed else []))
    console.print()
    console.print(shown)


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
        shown = _DOUBTS if code == "label-doubtful" else _EXAMPLES
        for problem in problems[:shown]:
            alone = bool(advice) and code != "label-doubtful"
            line = Text(_example(problem, console.width - 4, alone=alone))
            console.print(Padding(line, (0, 0, 0, 4)), no_wrap=bool(problem.path), overflow="ellipsis")
        if len(problems) > shown:
            console.print(Text(f"    … and {len(problems) - shown} more", style="dim"))


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
    titles = (
        "*How well a trivial cue alone gives the class",
        "accuracy",
        "95 % interval",
        "chance",
        "pictures",
    )
    shown = table(titles, padding=(0, 2, 0, 0), header_style="bold", pad_edge=True)
    for cue in result.cues:
        style = ("yellow" if cue.kind == "shortcut" else "cyan") if cue.far_above else ""
        low, high = cue.interval
        interval = f"{low:.0%} to {high:.0%}" if high > low else "all the same"
        figures = (f"{cue.accuracy:.0%}", interval, f"{cue.chance:.0%}", str(cue.n))
        shown.add_row(Text(f"  {cue.name}"), *figures, style=style)
    console.print()
    console.print(shown)
    for cue in result.cues:
        if cue.far_above:
            mark, style = _MARKS["warning" if cue.kind == "shortcut" else "info"]
            line = Table.grid(padding=(0, 1))
            line.add_row(Text(mark, style=style), Text(cue.verdict))
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
    again = as_typed(data, typed)
    out = shlex.quote(f"{data.resolve().stem or 'split'}.csv")
    step = f"foveate split {again} --out {out}" if undecided else f"foveate train {again} --out RUN"
    return Text(f"\n{said}, no errors. Next: {step}", style="bold green")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
