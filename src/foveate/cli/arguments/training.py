"""Commands about runs: train, pretext, tune, evaluate, predict, report, demo."""

from pathlib import Path
from typing import Annotated

import typer

from foveate.cli.arguments.common import (
    Backbone,
    Data,
    Device,
    Group,
    Masks,
    NoCache,
    Quarantine,
    RunFolder,
    Seed,
    Tta,
)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for pictures, runs and demo.json.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Draw look-alike insects whose background gives them away, train plainly and guided, and compare."""
    from foveate.cli.demo import demo as command

    command(out, seed)


def train(
    context: typer.Context,
    data: Data,
    out: Annotated[
        Path,
        typer.Option(help="Run folder: new, or one that was stopped (then it goes on).", show_default=False),
    ],
    backbone: Backbone = None,
    weights: Annotated[
        str,
        typer.Option(
            help="pretrained (timm downloads them once), none (random), a .safetensors or .pth file, or a run folder."
        ),
    ] = "pretrained",
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Start from the network of a finished run (see pretext)."),
    ] = None,
    trunk: Annotated[
        str,
        typer.Option(
            help="The backbone: trained, frozen (linear probe), or faithful (frozen, its BatchNorm statistics move)."
        ),
    ] = "trained",
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the square picture the network sees, in pixels; default: that of the weights."
        ),
    ] = None,
    augment: Annotated[
        str, typer.Option(help="How training pictures are varied: none, basic, standard, advanced or plant.")
    ] = "standard",
    guide: Annotated[
        str,
        typer.Option(
            help="Use of the masks: none, backgrounds, class-map, ... (foveate list guides), or several joined by +."
        ),
    ] = "none",
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of the last phase, at most; default: the recipe's.")
    ] = None,
    batch_size: Annotated[
        str | None, typer.Option(help="Pictures a step, or auto (measured); default: 32.")
    ] = None,
    lr: Annotated[
        str | None,
        typer.Option(help="Learning rate of the last phase, or auto (range test); default: the recipe's."),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Follow this split file (see foveate split); default: draw a split.")
    ] = None,
    masks: Masks = None,
    group: Group = None,
    quarantine: Quarantine = False,
    no_cache: NoCache = False,
    track: Annotated[
        str | None, typer.Option(help="Also log to tensorboard or wandb (extras to install).")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file with settings of an experiment; flags and --set win over it."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="One setting by its place, as training.phases.0.epochs=5; may be repeated."
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train a classifier; killed or stopped, the same command goes on where it was."""
    from foveate.cli.train import train as command

    given = {name for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"}  # type: ignore[union-attr]
    command(
        data, out, backbone=backbone, weights=weights, size=size, augment=augment, guide=guide, epochs=epochs,
        batch_size=batch_size, lr=lr, split=split, masks=masks, group=group, quarantine=quarantine, no_cache=no_cache,
        track=track, config=config, assignments=set_ or [], seed=seed, device=device,
        given=given, start=from_, trunk=trunk,
    )  # fmt: skip


def pretext(
    data: Data,
    task: Annotated[str, typer.Option(help="What is asked (foveate list tasks): rotation, perturbation ...")],
    out: Annotated[
        Path,
        typer.Option(help="Run folder: new, or one that was stopped (then it goes on).", show_default=False),
    ],
    backbone: Backbone = None,
    weights: Annotated[
        str,
        typer.Option(
            help="What it starts from: none (random), pretrained, a .safetensors or .pth file, or a run folder."
        ),
    ] = "none",
    size: Annotated[
        int | None, typer.Option(help="Side of the square picture, in pixels; default: that of the weights.")
    ] = None,
    augment: Annotated[
        str | None, typer.Option(help="How pictures are varied before they are asked about; default: a crop.")
    ] = None,
    faithful: Annotated[
        bool, typer.Option("--faithful", help="The published program with its faults (perturbation).")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Epochs, at most; default: 30.")] = None,
    batch_size: Annotated[
        str | None, typer.Option(help="Questions a step, or auto (measured); default: 32.")
    ] = None,
    lr: Annotated[str | None, typer.Option(help="Learning rate, or auto (range test).")] = None,
    split: Annotated[Path | None, typer.Option(help="Follow this split file.")] = None,
    quarantine: Quarantine = False,
    no_cache: NoCache = False,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings of an experiment.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="One setting by its place, as task.side=8.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train a network on a task that needs no labels; foveate train --from goes on with it.

    DATA may be class folders (classes are only used to judge the features) or one flat folder.
    """
    from foveate.cli.pretext import pretext as command

    command(
        data, out, task=task, backbone=backbone, weights=weights, size=size, augment=augment, faithful=faithful,
        epochs=epochs, batch_size=batch_size, lr=lr, split=split, quarantine=quarantine, no_cache=no_cache,
        config=config, assignments=set_ or [], seed=seed, device=device,
    )  # fmt: skip


def tune(
    context: typer.Context,
    data: Data,
    out: Annotated[
        Path, typer.Option(help="The search's folder: new, or one that was stopped.", show_default=False)
    ],
    config: Annotated[
        Path,
        typer.Option(
            help="YAML file: experiment (as for train), space, metric, trials ...", show_default=False
        ),
    ],
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many trials; default: the file's, else 20.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trials at the same time, each in its own process.")] = 1,
    storage: Annotated[
        str | None,
        typer.Option(help="URL of a database that several machines share; default: SQLite in the folder."),
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Any timm network; default: as for train.")] = None,
    weights: Annotated[str, typer.Option(help="As for train.")] = "pretrained",
    size: Annotated[int | None, typer.Option(help="Side of the square picture, in pixels.")] = None,
    guide: Annotated[str, typer.Option(help="Use of the masks, as for train.")] = "none",
    split: Annotated[Path | None, typer.Option(help="Follow this split file.")] = None,
    masks: Masks = None,
    group: Group = None,
    quarantine: Quarantine = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="One setting of the experiment by its place.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Search for good settings on the validation pictures; the test pictures are left alone."""
    from foveate.cli.tune import tune as command

    given = {name for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"}  # type: ignore[union-attr]
    command(
        data, out, config=config, trials=trials, storage=storage, jobs=jobs, quarantine=quarantine, backbone=backbone,
        weights=weights, size=size, guide=guide, split=split, masks=masks, group=group, assignments=set_ or [],
        seed=seed, device=device, given=given,
    )  # fmt: skip


def evaluate(
    run: RunFolder,
    data: Annotated[
        Path | None, typer.Option(help="Another labelled data set; default: the run's own.")
    ] = None,
    tta: Tta = None,
    out: Annotated[Path | None, typer.Option(help="Also write the prediction table here (CSV).")] = None,
    device: Device = "auto",
) -> None:
    """Measure a finished run: accuracy with interval, per class, calibration, where it looks."""
    from foveate.cli.apply import evaluate as command

    command(run, data=data, tta=tta, out_file=out, device=device)


def predict(
    run: RunFolder,
    paths: Annotated[list[Path], typer.Argument(help="Pictures or folders of pictures.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The file to write, .csv or .json.", show_default=False)],
    layout: Annotated[
        str, typer.Option(help="table (probabilities and all), or competition (file, class id).")
    ] = "table",
    tta: Tta = None,
    device: Device = "auto",
) -> None:
    """Predict new pictures with a finished run."""
    from foveate.cli.apply import predict as command

    command(run, paths, out, layout=layout, tta=tta, device=device)


def report(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option(help="Where to write it; default: RUN/report.html.")] = None,
) -> None:
    """Write the run's report: one HTML file that needs nothing else."""
    from foveate.cli.apply import report as command

    command(run, out)
