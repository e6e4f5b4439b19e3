"""Commands about comparisons: compare-backbones, plan."""

from pathlib import Path
from typing import Annotated

import typer

from foveate.cli.arguments.common import Data, Device, Quarantine, Seed
from foveate.cli.flags import LAYOUT, Typed, takes


@takes(*LAYOUT)
def compare_backbones(
    data: Data,
    backbones: Annotated[
        str,
        typer.Option(
            help="Separated by commas: timm's names (downloaded once), weights files, run folders, NAME:none.",
            show_default=False,
        ),
    ],
    typed: Typed,
    size: Annotated[
        int | None, typer.Option(help="Side of the square picture, in pixels; default: each backbone's own.")
    ] = None,
    folds: Annotated[int, typer.Option(min=3, help="Folds of the cross-validation.")] = 5,
    split: Annotated[
        Path | None, typer.Option(help="Leave the test pictures of this split file alone.")
    ] = None,
    quarantine: Quarantine = False,
    csv: Annotated[Path | None, typer.Option(help="Also write the table as CSV.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything as JSON.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Which backbone suits these pictures: probes on frozen features, time and memory, a ranking with intervals."""
    from foveate.cli.backbones import compare as command

    command(
        data, backbones, typed, size=size, folds=folds, split=split, quarantine=quarantine, csv=csv, json=json,
        seed=seed, device=device,
    )  # fmt: skip


def plan(
    pictures: Annotated[int, typer.Option(help="Test pictures of one run.", show_default=False)],
    seeds: Annotated[int, typer.Option(help="Random seeds, each one a pair of runs.")] = 5,
    accuracy: Annotated[float, typer.Option(help="Expected accuracy of the baseline, a share.")] = 0.9,
    spread: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation over seeds of the paired difference, a share; default: from the pictures."
        ),
    ] = None,
    correlation: Annotated[
        float, typer.Option(help="How far two networks are right on the same pictures, 0 to 1.")
    ] = 0.7,
    arms: Annotated[int, typer.Option(help="Arms that are compared with the baseline (Holm).")] = 1,
    difference: Annotated[
        float | None, typer.Option(help="Ask what it takes to show this gain, a share: 0.03 is 3 points.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything as JSON.")] = None,
) -> None:
    """Before the work: which gain in accuracy can a comparison show, or what does it take to show one."""
    from foveate.cli.plan import plan as command

    command(
        pictures=pictures, seeds=seeds, accuracy=accuracy, spread=spread, correlation=correlation, arms=arms,
        difference=difference, json=json,
    )  # fmt: skip
