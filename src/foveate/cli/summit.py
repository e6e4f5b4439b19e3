"""foveate summit"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from foveate.cli.arguments import Device, RunFolder
from foveate.cli.flags import with_assignments, words
from foveate.cli.screen import guarded, new_progress, open_run, out

SHOWN = 3
"""Channels of a class and layer on the screen; the table names all."""


@guarded
def summit(
    run: RunFolder,
    folder: Annotated[
        Path, typer.Option("--out", help="A new folder for tables, graph and pictures.", show_default=False)
    ],
    layers: Annotated[
        str, typer.Option(help="From the input to the output, joined by commas: early, stage:K, a module ...")
    ] = "early,middle,late",
    split: Annotated[str, typer.Option(help="Which of the run's pictures: train, val or test.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many pictures of each class.")] = None,
    channels: Annotated[int, typer.Option(help="Channels listed for each class and layer.")] = 8,
    inversions: Annotated[
        bool, typer.Option("--inversions", help="Also make a picture for each listed channel.")
    ] = False,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="One more setting (see docs/invert.md), as share=0.03.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Find the channels that matter for each class and what feeds them: tables, a graph, the pictures they answer."""
    from foveate import api

    flags: dict[str, Any] = {
        "layers": words(layers), "split": split, "limit": limit,
        "channels": channels, "inversions": inversions, "device": device,
    }  # fmt: skip
    settings = with_assignments(api.summit, flags, assignments or [])
    opened = open_run(run)
    with new_progress() as bar:
        task = bar.add_task("looking at channels", total=None, note="")
        found = api.summit(
            opened,
            folder,
            **settings,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    shown = Table(box=None, header_style="dim", pad_edge=False)
    shown.add_column("class")
    for layer in found.layers:
        shown.add_column(f"{layer}: channel (in its pictures, in others)", overflow="fold")
    for label, name in enumerate(opened.catalog.classes):
        cells = []
        for layer in found.layers:
            first = found.channels_of(label, layer)[:SHOWN]
            cells.append(", ".join(f"{c.channel} ({c.share:.0%}, {c.elsewhere:.0%})" for c in first))
        shown.add_row(escape(name), *cells)
    out.print(shown)
    out.print(
        f"{len(found.channels)} channels in [bold]{escape(str(folder / 'channels.csv'))}[/], {len(found.influences)} "
        "influences in influences.csv, both in graph.json; the pictures of each channel in pictures/", soft_wrap=True,
    )  # fmt: skip
