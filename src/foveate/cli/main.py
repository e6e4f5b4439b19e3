"""The program ``foveate``: its commands, in the order of the help.

Nothing heavy is imported before a command runs, so that ``foveate --help`` answers at once.
"""

from collections.abc import Callable
from typing import Annotated

import typer

from foveate.cli import (
    apply,
    augment,
    backbones,
    data,
    demo,
    explain,
    export,
    invert,
    labels,
    look,
    masks,
    names,
    serve,
    study,
    train,
)

app = typer.Typer(
    name="foveate",
    help="Train an image classifier from a folder of pictures, guide it to look at the right place, and measure "
    "honestly whether that helped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    demo.demo, data.check, data.split, train.train, train.pretext, backbones.compare_backbones,
    backbones.learning_curve, study.plan,
    apply.evaluate, apply.predict, explain.explain, look.look, invert.invert, invert.summit, apply.report,
    apply.card, export.export, serve.app, study.tune,
):  # fmt: skip
    app.command()(command)
GROUPS: dict[str, tuple[str, tuple[Callable[..., None], ...]]] = {
    "study": (
        "Compare arms over several random seeds, with paired statistics.",
        (study.run, study.show, study.final),
    ),
    "masks": ("Masks where there are none: propose and compare them.", (masks.propose, masks.compare)),
    "labels": ("Labels that were corrected in another program.", (labels.apply,)),
    "augment": ("Augmentations: see what they do.", (augment.preview,)),
    "data": ("Data sets that are published.", (data.get,)),
}
for name, (about, commands) in GROUPS.items():
    group = typer.Typer(help=about, no_args_is_help=True)
    for command in commands:
        group.command()(command)
    app.add_typer(group, name=name)
app.command("list")(names.list_)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from foveate import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of ``python -m foveate``."""
    app()
