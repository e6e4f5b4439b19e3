"""foveate invert"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from foveate.cli.arguments import Device, RunFolder, Seed
from foveate.cli.flags import with_assignments, words
from foveate.cli.screen import guarded, new_progress, open_run, out
from foveate.core.errors import ConfigError


@guarded
def invert(
    run: RunFolder,
    folder: Annotated[Path, typer.Option("--out", help="A new folder for the pictures.", show_default=False)],
    classes: Annotated[
        str | None, typer.Option(help="Names of classes joined by commas; default: all, unless --layer.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Channels of this layer instead: first, last, stage:K, or a module.")
    ] = None,
    channels: Annotated[str | None, typer.Option(help="Which channels, as 3,7.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the pictures in pixels; default: the run's.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="default, or scenes (the published routine).")] = "default",
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="One setting of the recipe (see docs/invert.md), as steps=80; may be repeated."
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Show what a class, or a channel inside the network, looks like: pictures that it answers strongly."""
    from foveate import api
    from foveate.reporting.inversions import names_of

    flags: dict[str, Any] = {
        "classes": None if classes is None else words(classes),
        "channels": None if channels is None else numbers_in(channels),
        "layer": layer, "size": size, "recipe": recipe, "seed": seed, "device": device,
    }  # fmt: skip
    settings = with_assignments(api.invert, flags, assignments or [])
    opened = open_run(run)
    with new_progress() as bar:
        task = bar.add_task("inverting", total=None, note="updates")
        found = api.invert(
            opened,
            **settings,
            out=folder,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    shown = Table(box=None, header_style="dim", pad_edge=False)
    shown.add_column("channel" if found.layer else "class", overflow="fold")
    shown.add_column("score at first", justify="right")
    shown.add_column("at last", justify="right")
    if found.probabilities is not None:
        shown.add_column("probability", justify="right")
    for i, name in enumerate(names_of(found, opened.catalog.classes)):
        row = [escape(name), f"{found.scores[0, i]:.2f}", f"{found.final[i]:.2f}"]
        shown.add_row(*row, *([] if found.probabilities is None else [f"{found.probabilities[i]:.3f}"]))
    out.print(shown)
    still = [n for i, n in enumerate(found.numbers) if found.final[i] <= found.scores[0, i]]
    if still:
        out.print(
            f"[yellow]{len(still)} of them did not rise above the grey noise they began with: {still}[/]. Such a unit "
            "answers to nothing near it; try another --seed.", soft_wrap=True,
        )  # fmt: skip
    out.print(f"Look at [bold]{escape(str(folder / 'sheet.png'))}[/]", soft_wrap=True)


def numbers_in(text: str) -> list[int]:
    """ "3,7" -> [3, 7].

    Raises:
        ConfigError: something in it is no number.
    """
    numbers = words(text)
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise ConfigError(f"--channels takes numbers joined by commas, as 3,7, got '{text}'.")
    return [int(number) for number in numbers]
