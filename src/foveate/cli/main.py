"""The program ``foveate``: its commands, in the order of the help.

Nothing heavy is imported before a command runs, so that ``foveate --help`` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from foveate.cli import (
    apply,
    augment,
    backbones,
    demo,
    explain,
    invert,
    look,
    plan,
    pretext,
    split,
    summit,
    train,
    tune,
)
from foveate.cli import data as data_sets
from foveate.cli import masks as masking
from foveate.cli import study as studies
from foveate.cli.arguments import Data
from foveate.cli.flags import LAYOUT, Typed, takes
from foveate.cli.names import KNOWN, names
from foveate.cli.screen import guarded

app = typer.Typer(
    name="foveate",
    help="Train an image classifier from a folder of pictures, guide it to look at the right place, and measure "
    "honestly whether that helped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
study = typer.Typer(
    help="Compare arms over several random seeds, with paired statistics.", no_args_is_help=True
)
study.command("run")(studies.run)
study.command("show")(studies.show)
masks = typer.Typer(help="Masks where there are none: propose and compare them.", no_args_is_help=True)
masks.command("propose")(masking.propose)
masks.command("compare")(masking.compare)


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

    raise typer.Exit(guarded(command)(data, typed, json=json, csv=csv, html=html, split=split))


for command in (
    demo.demo, check, split.split, train.train, pretext.pretext, backbones.compare_backbones, plan.plan,
    apply.evaluate, apply.predict, explain.explain, look.look, invert.invert, summit.summit, apply.report, tune.tune,
):  # fmt: skip
    app.command()(command)
app.add_typer(study, name="study")
app.add_typer(masks, name="masks")
augmenting = typer.Typer(help="Augmentations: see what they do.", no_args_is_help=True)
augmenting.command("preview")(augment.preview)
app.add_typer(augmenting, name="augment")


getting = typer.Typer(help="Data sets that are published.", no_args_is_help=True)
getting.command("get")(data_sets.get)
app.add_typer(getting, name="data")


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(help=f"{', '.join(KNOWN[:-1])} or {KNOWN[-1]}."),
    ],
    pattern: Annotated[str, typer.Argument(help="Only names that contain this.")] = "",
) -> None:
    """List the names that commands and settings take."""
    names(what, pattern)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from foveate import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of ``python -m foveate``."""
    app()
