"""The program ``foveate``: every command parses, calls the library, and prints.

Nothing heavy is imported before a command runs, so that ``foveate --help`` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="foveate",
    help="Train an image classifier from a folder of pictures, guide it to look at the right place, and measure "
    "honestly whether that helped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Data = Annotated[Path, typer.Argument(help="Folder of pictures, or a CSV manifest.", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]
Masks = Annotated[Path | None, typer.Option(help="Folder of masks, when it is not found by itself.")]
Group = Annotated[
    str | None,
    typer.Option(
        help="What must stay together: column:NAME, part:K of the path, or regex:PATTERN with one group."
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for pictures, runs and demo.json.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Draw look-alike insects whose background gives them away, train plainly and guided, and compare."""
    from foveate.cli.demo import demo as command

    command(out, seed)


@app.command()
def check(
    data: Data,
    json: Annotated[Path | None, typer.Option(help="Also write everything as JSON.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the problems as CSV.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page: classes, samples of each, what was found.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Also look for leaks between the splits of this file.")
    ] = None,
    masks: Masks = None,
    group: Group = None,
) -> None:
    """Find what is wrong with the pictures, and which trivial cues give the class away.

    Exit status 1 when there are errors, 0 when there are warnings or nothing.
    """
    from foveate.cli.check import check as command
    from foveate.cli.screen import guarded

    raise typer.Exit(
        guarded(command)(data, json=json, csv=csv, html=html, split=split, masks=masks, group=group)
    )


@app.command()
def split(
    data: Data,
    out: Annotated[Path, typer.Option(help="The split file to write.", show_default=False)],
    group: Group = None,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validation folds instead of one test split.")
    ] = None,
    val: Annotated[float, typer.Option(help="Share for validation.")] = 0.15,
    test: Annotated[float, typer.Option(help="Share for the test.")] = 0.15,
    seed: Seed = 0,
) -> None:
    """Divide the pictures, stratified and by group, into a file that every run of a comparison shares."""
    from foveate.cli.split import split as command

    command(data, out, group=group, folds=folds, val=val, test=test, seed=seed)


@app.command()
def train(
    context: typer.Context,
    data: Data,
    out: Annotated[
        Path,
        typer.Option(help="Run folder: new, or one that was stopped (then it goes on).", show_default=False),
    ],
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Any timm network; default: the one of the weights file, else mobilenetv3_small_100."
        ),
    ] = None,
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
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Leave out pictures with errors instead of refusing.")
    ] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Decode pictures again every epoch.")] = False,
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


@app.command()
def pretext(
    data: Data,
    task: Annotated[str, typer.Option(help="What is asked (foveate list tasks): rotation, perturbation ...")],
    out: Annotated[
        Path,
        typer.Option(help="Run folder: new, or one that was stopped (then it goes on).", show_default=False),
    ],
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Any timm network; default: the one of the weights file, else mobilenetv3_small_100."
        ),
    ] = None,
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
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Leave out pictures with errors instead of refusing.")
    ] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Decode pictures again every epoch.")] = False,
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


@app.command("compare-backbones")
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
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Leave out pictures with errors instead of refusing.")
    ] = False,
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


@app.command()
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


@app.command()
def evaluate(
    run: RunFolder,
    data: Annotated[
        Path | None, typer.Option(help="Another labelled data set; default: the run's own.")
    ] = None,
    tta: Annotated[
        str | None,
        typer.Option(help="Test-time augmentation: none, flip, flips, shifts, rotations or plants8."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the prediction table here (CSV).")] = None,
    device: Device = "auto",
) -> None:
    """Measure a finished run: accuracy with interval, per class, calibration, where it looks."""
    from foveate.cli.apply import evaluate as command

    command(run, data=data, tta=tta, out_file=out, device=device)


@app.command()
def predict(
    run: RunFolder,
    paths: Annotated[list[Path], typer.Argument(help="Pictures or folders of pictures.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The file to write, .csv or .json.", show_default=False)],
    layout: Annotated[
        str, typer.Option(help="table (probabilities and all), or competition (file, class id).")
    ] = "table",
    tta: Annotated[
        str | None,
        typer.Option(help="Test-time augmentation: none, flip, flips, shifts, rotations or plants8."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Predict new pictures with a finished run."""
    from foveate.cli.apply import predict as command

    command(run, paths, out, layout=layout, tta=tta, device=device)


@app.command()
def explain(
    run: RunFolder,
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Pictures or folders of pictures.", show_default=False)
    ] = None,
    method: Annotated[
        str, typer.Option(help="One or several, joined by commas (foveate list explainers).")
    ] = "gradcam",
    layers: Annotated[
        str,
        typer.Option(
            help="Where in the network: first, second, last, stage:K or a module, joined by commas."
        ),
    ] = "",
    target: Annotated[
        str, typer.Option(help="The class that is explained: predicted, true, or a class's name or id.")
    ] = "predicted",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder: new, or one that was stopped. Default: RUN/explanations.", show_default=False
        ),
    ] = None,
    compare: Annotated[
        str, typer.Option(help="More runs that explain the same pictures side by side, joined by commas.")
    ] = "",
    agreeing: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Instead of pictures: so many of the run's test, the first of each class that all runs name "
            "correctly.",
        ),
    ] = None,
    evidence: Annotated[
        str, typer.Option(help="Of signed maps: positive (for the class), or absolute (for and against).")
    ] = "positive",
    chunk: Annotated[
        int | None,
        typer.Option(min=1, help="Pictures in one pass, if memory is short; default: the method's."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of a method, as rise.masks=1000; may be repeated."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Show where a run looks: overlays, raw maps and contact sheets, by any method at any layer."""
    from foveate.cli.explain import explain as command

    command(
        run, paths or [], method=method, layers=layers, target=target, folder=out, compare=compare, agreeing=agreeing,
        evidence=evidence, chunk=chunk, assignments=set_ or [], seed=seed, device=device,
    )  # fmt: skip


@app.command()
def look(
    run: RunFolder,
    data: Annotated[
        Path | None, typer.Option(help="Another labelled data set; default: the run's own test pictures.")
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Explanation methods joined by commas, or all (foveate list explainers).")
    ] = "gradcam,gradcam++,layercam,eigencam",
    metrics: Annotated[
        str | None,
        typer.Option(
            help="localisation, faithfulness, sanity; default: the first two, or faithfulness where there are no masks."
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(help="The class that is explained: predicted or true.")
    ] = "predicted",
    layer: Annotated[
        str | None, typer.Option(help="Feature map of class maps: first, second, last or a module.")
    ] = None,
    masks: Masks = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many pictures, spread evenly over the set.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write look.csv, look_pictures.csv and look.json here.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One more setting (see docs/look.md), as faithfulness.fill=black."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Is the map right: score explanation methods against masks, against the network, and against controls."""
    from foveate.cli.look import look as command

    command(
        run, data=data, methods=methods, metrics=metrics, target=target, layer=layer, masks=masks, limit=limit,
        folder=out, assignments=set_ or [], seed=seed, device=device,
    )  # fmt: skip


@app.command()
def invert(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="A new folder for the pictures.", show_default=False)],
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
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="One setting of the recipe (see docs/invert.md), as steps=80; may be repeated."
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Show what a class, or a channel inside the network, looks like: pictures that it answers strongly."""
    from foveate.cli.invert import invert as command

    command(
        run, out, classes=classes, layer=layer, channels=channels, size=size, recipe=recipe, assignments=set_ or [],
        seed=seed, device=device,
    )  # fmt: skip


@app.command()
def summit(
    run: RunFolder,
    out: Annotated[
        Path, typer.Option(help="A new folder for tables, graph and pictures.", show_default=False)
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
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="One more setting (see docs/invert.md), as share=0.03.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Find the channels that matter for each class and what feeds them: tables, a graph, the pictures they answer."""
    from foveate.cli.summit import summit as command

    command(
        run, out, layers=layers, split=split, limit=limit, channels=channels, inversions=inversions,
        assignments=set_ or [], device=device,
    )  # fmt: skip


@app.command()
def report(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option(help="Where to write it; default: RUN/report.html.")] = None,
) -> None:
    """Write the run's report: one HTML file that needs nothing else."""
    from foveate.cli.apply import report as command

    command(run, out)


study_app = typer.Typer(
    help="Compare arms over several random seeds, with paired statistics.", no_args_is_help=True
)
app.add_typer(study_app, name="study")


@study_app.command("run")
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
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Leave out pictures with errors instead of refusing.")
    ] = False,
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


@study_app.command("show")
def study_show(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder.", show_default=False)],
    trim: Annotated[
        str, typer.Option(help="Where mean curves end: shortest (with the first run that ended) or end.")
    ] = "shortest",
) -> None:
    """Print and write the tables of what is finished so far."""
    from foveate.cli.study import show as command

    command(folder, trim)


masks_app = typer.Typer(help="Masks where there are none: propose and compare them.", no_args_is_help=True)
app.add_typer(masks_app, name="masks")


@masks_app.command("propose")
def masks_propose(
    data: Data,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the masks: new, or one that was begun (then it goes on).", show_default=False
        ),
    ],
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
    masks: Annotated[Path | None, typer.Option(help="Boxes or masks, when not found by themselves.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One more setting (see docs/masks.md), as side=384; may be repeated."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Propose masks with GrabCut: a tree of PNG files, a table of the doubtful, and a sheet to review them."""
    from foveate.cli.masks import propose as command

    command(
        data, out, prior=prior, run=run, share=share, iterations=iterations, limit=limit, everything=everything,
        overwrite=overwrite, masks=masks, assignments=set_ or [], device=device,
    )  # fmt: skip


@masks_app.command("compare")
def masks_compare(
    data: Data,
    proposed: Annotated[Path, typer.Argument(help="Folder of proposed masks.", show_default=False)],
    masks: Annotated[
        Path | None, typer.Option(help="Folder of the known masks, when not found by itself.")
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(help="Grey values of the known masks that are object, as 128,255; default: not 0."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write one row a picture here (CSV).")] = None,
) -> None:
    """How well proposed masks agree with known ones, beside controls that need no method."""
    from foveate.cli.masks import compare as command

    command(data, proposed, masks=masks, values=values, file=out)


@app.command()
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
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Leave out pictures with errors instead of refusing.")
    ] = False,
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
