"""Commands about the pictures: check, split, masks."""

from pathlib import Path
from typing import Annotated

import typer

from foveate.cli.arguments.common import Data, Device, Seed
from foveate.cli.flags import LAYOUT, Typed, takes


@takes(*LAYOUT)
def check(
    data: Data,
    typed: Typed,
    json: Annotated[Path | None, typer.Option(help="Also write everything as JSON.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the problems as CSV.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page: classes, samples of each, what was found.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Also look for leaks between the splits of this file.")
    ] = None,
) -> None:
    """Find what is wrong with the pictures, and which trivial cues give the class away.

    Exit status 1 when there are errors, 0 when there are warnings or nothing.
    """
    from foveate.cli.check import check as command
    from foveate.cli.screen import guarded

    raise typer.Exit(guarded(command)(data, typed, json=json, csv=csv, html=html, split=split))


@takes(*LAYOUT)
def split(
    data: Data,
    out: Annotated[Path, typer.Option(help="The split file to write.", show_default=False)],
    typed: Typed,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validation folds instead of one test split.")
    ] = None,
    val: Annotated[float, typer.Option(help="Share for validation.")] = 0.15,
    test: Annotated[float, typer.Option(help="Share for the test.")] = 0.15,
    seed: Seed = 0,
) -> None:
    """Divide the pictures, stratified and by group, into a file that every run of a comparison shares."""
    from foveate.cli.split import split as command

    command(data, out, typed, folds=folds, val=val, test=test, seed=seed)


@takes(*LAYOUT)
def masks_propose(
    data: Data,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the masks: new, or one that was begun (then it goes on).", show_default=False
        ),
    ],
    typed: Typed,
    prior: Annotated[
        str,
        typer.Option(
            help="Where the object is expected: centre, box, class-map, or auto (boxes if any, else a run's class map "
            "if given, else the centre)."
        ),
    ] = "auto",
    run: Annotated[Path | None, typer.Option(help="A finished run, for the prior class-map.")] = None,
    share: Annotated[float, typer.Option(help="Area of the centre prior, as a share of the picture.")] = 0.5,
    iterations: Annotated[int, typer.Option(help="Rounds of GrabCut.")] = 5,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many pictures, spread evenly over the set.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also pictures that have a mask already.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace masks proposed with other settings; edited ones are always kept."
        ),
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One more setting (see docs/masks.md), as side=384; may be repeated."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Propose masks with GrabCut: a tree of PNG files, a table of the doubtful, and a sheet to review them."""
    from foveate.cli.masks import propose as command

    command(
        data, out, typed, prior=prior, run=run, share=share, iterations=iterations, limit=limit, everything=everything,
        overwrite=overwrite, assignments=set_ or [], device=device,
    )  # fmt: skip


@takes(*LAYOUT)
def masks_compare(
    data: Data,
    proposed: Annotated[Path, typer.Argument(help="Folder of proposed masks.", show_default=False)],
    typed: Typed,
    values: Annotated[
        str | None,
        typer.Option(help="Grey values of the known masks that are object, as 128,255; default: not 0."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write one row a picture here (CSV).")] = None,
) -> None:
    """How well proposed masks agree with known ones, beside controls that need no method."""
    from foveate.cli.masks import compare as command

    command(data, proposed, typed, values=values, file=out)
