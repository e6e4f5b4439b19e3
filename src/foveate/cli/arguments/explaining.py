"""Commands about what a network has learnt: explain, look, invert, summit."""

from pathlib import Path
from typing import Annotated

import typer

from foveate.cli.arguments.common import Device, RunFolder, Seed
from foveate.cli.flags import LAYOUT, Typed, takes


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


@takes(*LAYOUT)
def look(
    run: RunFolder,
    typed: Typed,
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
        run, typed, data=data, methods=methods, metrics=metrics, target=target, layer=layer, limit=limit, folder=out,
        assignments=set_ or [], seed=seed, device=device,
    )  # fmt: skip


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
