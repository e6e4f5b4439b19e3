"""foveate summit"""

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from foveate.cli.flags import with_assignments
from foveate.cli.screen import guarded, new_progress, open_run, out

SHOWN = 3
"""Channels of a class and layer on the screen; the table names all."""


@guarded
def summit(
    run: Path, folder: Path, *, layers: str, split: str, limit: int | None, channels: int, inversions: bool,
    assignments: list[str], device: str,
) -> None:  # fmt: skip
    """Find the channels and show the first of each class."""
    from foveate import api

    flags: dict[str, Any] = {
        "layers": [word.strip() for word in layers.split(",") if word.strip()], "split": split, "limit": limit,
        "channels": channels, "inversions": inversions, "device": device,
    }  # fmt: skip
    settings = with_assignments(api.summit, flags, assignments)
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
