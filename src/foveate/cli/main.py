"""The program ``foveate``: its commands, in the order of the help."""

from typing import Annotated

import typer

from foveate.cli import apply, demo, pretext, train, tune
from foveate.cli import study as studies
from foveate.cli.arguments import comparing, data, explaining

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
masks.command("propose")(data.masks_propose)
masks.command("compare")(data.masks_compare)

for command in (
    demo.demo, data.check, data.split, train.train, pretext.pretext, comparing.compare_backbones, comparing.plan,
    apply.evaluate, apply.predict, explaining.explain, explaining.look, explaining.invert, explaining.summit,
    apply.report, tune.tune,
):  # fmt: skip
    app.command()(command)
app.add_typer(study, name="study")
app.add_typer(masks, name="masks")


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="backbones, recipes, studies, guides, explainers, losses, weightings, augmentations, transforms, "
            "heads, schedules, tasks or tta."
        ),
    ],
    pattern: Annotated[str, typer.Argument(help="Only names that contain this.")] = "",
) -> None:
    """List the names that commands and settings take."""
    from foveate.cli.names import names as command

    command(what, pattern)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from foveate import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of ``python -m foveate``."""
    app()
