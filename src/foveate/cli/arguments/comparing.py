"""Commands about comparisons: study, compare-backbones, plan."""

from pathlib import Path
from typing import Annotated

import typer

from foveate.cli.arguments.common import Data, Device, Group, Quarantine, Seed


def study_run(
    study: Annotated[
        str, typer.Argument(help="A study recipe (foveate list studies), or a YAML file.", show_default=False)
    ],
    data: Annotated[Path, typer.Option(help="Folder of pictures, or a CSV manifest.", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="The study's folder: new, or one that was stopped.", show_default=False)
    ],
    backbone: Annotated[str | None, typer.Option(help="Any timm network; default: the study's.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="pretrained, none, or a weights file; default: the study's.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the square picture, in pixels.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Random seeds 0 to N - 1; default: the study's.")] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="Only this arm and the baseline; may be repeated; default: all.")
    ] = None,
    block: Annotated[
        list[str] | None, typer.Option(help="Only this block; may be repeated; default: all.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Cells trained at the same time.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Processor threads of each; default: all cores divided by jobs.")
    ] = None,
    quarantine: Quarantine = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting of the study by its place, as base.data.size=96."),
    ] = None,
) -> None:
    """Run every arm with every seed; finished cells are kept, and the same command goes on."""
    from foveate.cli.study import run as command

    command(
        study, data, out, backbone=backbone, weights=weights, size=size, seeds=seeds, only_arms=arm or [],
        only_blocks=block or [], jobs=jobs, threads=threads, quarantine=quarantine, assignments=set_ or [],
    )  # fmt: skip


def study_show(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder.", show_default=False)],
    trim: Annotated[
        str, typer.Option(help="Where mean curves end: shortest (with the first run that ended) or end.")
    ] = "shortest",
) -> None:
    """Print and write the tables of what is finished so far."""
    from foveate.cli.study import show as command

    command(folder, trim)


def compare_backbones(
    data: Data,
    backbones: Annotated[
        str,
        typer.Option(
            help="Separated by commas: timm's names (downloaded once), weights files, run folders, NAME:none.",
            show_default=False,
        ),
    ],
    size: Annotated[
        int | None, typer.Option(help="Side of the square picture, in pixels; default: each backbone's own.")
    ] = None,
    folds: Annotated[int, typer.Option(min=3, help="Folds of the cross-validation.")] = 5,
    split: Annotated[
        Path | None, typer.Option(help="Leave the test pictures of this split file alone.")
    ] = None,
    group: Group = None,
    quarantine: Quarantine = False,
    csv: Annotated[Path | None, typer.Option(help="Also write the table as CSV.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything as JSON.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Which backbone suits these pictures: probes on frozen features, time and memory, a ranking with intervals."""
    from foveate.cli.backbones import compare as command

    command(
        data, backbones, size=size, folds=folds, split=split, group=group, quarantine=quarantine, csv=csv, json=json,
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
