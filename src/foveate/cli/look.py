"""foveate look"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from foveate.cli.arguments import Device, RunFolder, Seed
from foveate.cli.flags import LAYOUT, Typed, layout_of, takes, with_assignments, words
from foveate.cli.screen import guarded, new_progress, open_run, out, tell
from foveate.core.errors import ConfigError


@takes(*LAYOUT)
@guarded
def look(
    run: RunFolder,
    typed: Typed,
    data: Annotated[
        Path | None, typer.Option(help="Another labelled data set; default: the run's own test pictures.")
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Explanation methods joined by commas, or all (foveate list explainers).")
    ] = "gradcam,gradcam++,layercam,eigencam",
    metrics: Annotated[
        str | None,
        typer.Option(
            help="localisation, faithfulness, sanity; default: the first two, or faithfulness where there are no masks."
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(help="The class that is explained: predicted or true.")
    ] = "predicted",
    layer: Annotated[
        str | None, typer.Option(help="Feature map of class maps: first, second, last or a module.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many pictures, spread evenly over the set.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Also write look.csv, look_pictures.csv and look.json here.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="One more setting (see docs/look.md), as faithfulness.fill=black."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Is the map right: score explanation methods against masks, against the network, and against controls."""
    from foveate.core.lock import alone
    from foveate.experiment import Run
    from foveate.explanation import EXPLAINERS

    flags: dict[str, Any] = {
        "target": target, "layer": layer, "seed": seed, "limit": limit, "device": device,
        "metrics": None if metrics is None else tuple(words(metrics)),
    }  # fmt: skip
    values = with_assignments(Run.look, flags, assignments or [])
    names = tuple(EXPLAINERS) if methods == "all" else tuple(words(methods))
    if not names:
        raise ConfigError("--methods is empty; name at least one of foveate list explainers.")
    opened = open_run(run)
    masks = typed.pop("masks", None)
    bar = new_progress()
    with bar, alone(folder) if folder is not None else nullcontext():
        task = bar.add_task("Looking", total=None, note="")
        table = opened.look(
            data, methods=names, masks=masks, layout=layout_of(typed, opened.experiment.data.layout), told=tell,
            progress=lambda done, total: bar.update(task, completed=done, total=total), **values,
        )  # fmt: skip
        if folder is not None:
            table.save(folder)
    show(table)
    if folder is not None:
        out.print(
            f"Written: [bold]{escape(str(folder / 'look.csv'))}[/], look_pictures.csv and look.json beside it",
            soft_wrap=True,
        )


def show(table: Any) -> None:
    """Print a ``LookTable``."""
    from foveate.evaluation.explainer_scores import GROUPS

    about = table.settings
    layer = about.get("layer") or "last"
    out.print(
        f"[bold]{len(table.paths)} pictures[/] ({escape(about['split'])}), {about['masked']} with a mask; maps of the "
        f"[bold]{table.target}[/] class; class maps at layer [bold]{escape(layer)}[/]",
        soft_wrap=True,
    )
    cells = table.cells()
    for group, scores in GROUPS.items():
        if group in about["metrics"]:
            _print_table(table, cells, group, scores)
    if table.cascade:
        _print_cascade(table)
    out.print(
        "Mean ± 95 % interval (over pictures; the wider side). ↓ lower is better. Dim: not clearly better "
        "than the best of the controls below the line. n: maps that are not constant.",
        style="dim",
        soft_wrap=True,
    )
    for name, why in {**table.skipped, **table.reasons()}.items():
        out.print(f"[yellow]{escape(name)} was not measured:[/] {escape(why.rstrip('.'))}.", soft_wrap=True)


def _print_table(table: Any, cells: dict[str, dict[str, Any]], group: str, scores: Any) -> None:
    measured = [score for score in scores if any(score.name in row for row in cells.values())]
    rows = [row for row in cells if row in table.asked or any(score.name in cells[row] for score in measured)]

    def make(part: Sequence[Any]) -> Table:
        shown = _plain_table(group.capitalize())
        shown.add_column("method", no_wrap=True)
        shown.add_column("s/picture", justify="right")
        shown.add_column("n", justify="right")
        for score in part:
            arrow = " ↓" if score.better == "lower" else ""
            longest = max(map(len, score.title.split()))
            shown.add_column(score.title + arrow, justify="right", max_width=max(11, longest))
        for row, following in zip_longest(rows, rows[1:]):
            method = row in table.asked
            entries = [_entry(table, cells, row, score, method) for score in part]
            count = max(
                [cells[row][score.name].n for score in measured if score.name in cells[row]], default=0
            )
            seconds = f"{table.seconds[row]:.3f}" if row in table.seconds else ""
            last = method and following is not None and following not in table.asked
            shown.add_row(escape(row), seconds, str(count), *entries, end_section=last)
        return shown

    _print_in_parts(make, measured)


def _plain_table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim")


def _print_in_parts(make: Callable[[Sequence[Any]], Table], columns: Sequence[Any]) -> None:
    """Print ``make(columns)``, below each other in so many tables that none is wider than the screen."""
    while columns:
        fitting = [n for n in range(1, len(columns) + 1) if _width(make(columns[:n])) <= out.width]
        count = max(fitting, default=1)
        out.print(make(columns[:count]))
        columns = columns[count:]


def _width(table: Table) -> int:
    return out.measure(table, options=out.options.update(max_width=10_000)).maximum


def _entry(table: Any, cells: dict[str, dict[str, Any]], row: str, score: Any, method: bool) -> str:
    cell = cells[row].get(score.name)
    if cell is None:
        return "-"
    text = f"{cell.mean:.2f}"
    if cell.low is not None and method:
        text += f"±{max(cell.mean - cell.low, cell.high - cell.mean):.2f}".replace("±0.", "±.")
    controls = [cells[name][score.name].mean for name in table.controls if score.name in cells[name]]
    if not method or not controls or cell.low is None:
        return text
    clear = cell.low > max(controls) if score.better != "lower" else cell.high < min(controls)
    return text if clear else f"[dim]{text}[/]"


def _print_cascade(table: Any) -> None:
    def make(names: Sequence[str]) -> Table:
        shown = _plain_table(
            "As weights become random, from the classifier down: Spearman with the network's own maps"
        )
        shown.add_column("random", overflow="fold", max_width=max(20, out.width // 2))
        for name in names:
            shown.add_column(escape(name), justify="right")
        for title, row in table.cascade.items():
            shown.add_row(escape(title), *(f"{row[name]:.2f}" if name in row else "-" for name in names))
        return shown

    _print_in_parts(make, list(next(iter(table.cascade.values()))))
