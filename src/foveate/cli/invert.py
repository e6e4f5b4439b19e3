"""foveate invert, foveate summit"""

from functools import partial
from pathlib import Path
from typing import Any

from foveate.cli.command import AtLeastOne, command
from foveate.cli.flags import numbers, with_assignments, words
from foveate.cli.screen import open_run, say, show, table, watched

SHOWN = 3
"""Channels of a class and layer on the screen; the table names all."""


@command()
def invert(
    run: Path, *, out: Path, classes: str | None = None, layer: str | None = None, channels: str | None = None,
    size: int | None = None, recipe: str = "default", set_: list[str] | None = None, seed: int = 0,
    device: str = "auto",
) -> None:  # fmt: skip
    """Show what a class, or a channel inside the network, looks like: pictures that it answers strongly.

    Args:
        out: A new folder for the pictures.
        classes: Names of classes joined by commas; default: all, unless --layer.
        layer: Channels of this layer instead: first, last, stage:K, or a module.
        channels: Which channels, as 3,7.
        size: Side of the pictures in pixels; default: the run's.
        recipe: default, or scenes (the published routine).
        set_: One setting of the recipe (see docs/settings.md), as steps=80; may be repeated.
    """
    from foveate import api
    from foveate.reporting.inversions import names_of

    wanted = "--channels takes numbers joined by commas, as 3,7"
    flags: dict[str, Any] = {
        "classes": None if classes is None else words(classes),
        "channels": None if channels is None else numbers(channels, wanted),
        "layer": layer, "size": size, "recipe": recipe, "seed": seed, "device": device,
    }  # fmt: skip
    settings = with_assignments(api.invert, flags, set_)
    opened = open_run(run)
    with watched() as screen:
        found = api.invert(opened, **settings, out=out, progress=partial(screen.progress, "inverting"))
    columns = [
        [f"{score:.2f}" for score in found.scores[0]],
        [f"{score:.2f}" for score in found.final],
        [f"{p:.3f}" for p in (() if found.probabilities is None else found.probabilities)],
    ]
    titles = ("*channel" if found.layer else "*class", "score at first", "at last", "probability")
    names = names_of(found, opened.catalog.classes)
    filled = [column for column in (names, *columns) if column]
    show(table(titles[: len(filled)], zip(*filled, strict=True)))
    still = [n for i, n in enumerate(found.numbers) if found.final[i] <= found.scores[0, i]]
    if still:
        say(
            (f"{len(still)} of them did not rise above the grey noise they began with: {still}", "yellow"),
            ". Such a unit answers to nothing near it; try another --seed.",
        )
    say("Look at ", out / "sheet.png")


@command()
def summit(
    run: Path, *, out: Path, layers: str = "early,middle,late", split: str = "train", limit: AtLeastOne = None,
    channels: int = 8, inversions: bool = False, set_: list[str] | None = None, device: str = "auto",
) -> None:  # fmt: skip
    """Find the channels that matter for each class and what feeds them: tables, a graph, the pictures they answer.

    Args:
        out: A new folder for tables, graph and pictures.
        layers: From the input to the output, joined by commas: early, stage:K, a module ...
        split: Which of the run's pictures: train, val or test.
        limit: At most so many pictures of each class.
        channels: Channels listed for each class and layer.
        inversions: Also make a picture for each listed channel.
        set_: One more setting (see docs/settings.md), as share=0.03.
    """
    from foveate import api

    flags: dict[str, Any] = {
        "layers": words(layers), "split": split, "limit": limit,
        "channels": channels, "inversions": inversions, "device": device,
    }  # fmt: skip
    settings = with_assignments(api.summit, flags, set_)
    opened = open_run(run)
    with watched() as screen:
        progress = partial(screen.progress, "looking at channels")
        found = api.summit(opened, out, **settings, progress=progress)

    def first(label: int, layer: str) -> str:
        channels = found.channels_of(label, layer)[:SHOWN]
        return ", ".join(f"{c.channel} ({c.share:.0%}, {c.elsewhere:.0%})" for c in channels)

    titles = ("*class", *(f"*{layer}: channel (in its pictures, in others)" for layer in found.layers))
    classes = enumerate(opened.catalog.classes)
    show(table(titles, ([name, *(first(label, layer) for layer in found.layers)] for label, name in classes)))
    say(
        f"{len(found.channels)} channels in ", out / "channels.csv",
        f", {len(found.influences)} influences in influences.csv, both in graph.json, drawn in graph.html; "
        "the pictures of each channel in pictures/",
    )  # fmt: skip
