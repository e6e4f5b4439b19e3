"""foveate augment preview"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from foveate.cli.arguments import Data, Seed
from foveate.cli.flags import LAYOUT, Typed, layout_of, takes, words
from foveate.cli.screen import guarded, open_run, out, tell
from foveate.core.errors import ConfigError


@takes(*LAYOUT)
@guarded
def preview(
    data: Data,
    names: Annotated[
        str,
        typer.Option(
            "--with",
            help="Presets, steps and transforms joined by commas (foveate list augmentations, steps, transforms).",
            show_default=False,
        ),
    ],
    file: Annotated[Path, typer.Option("--out", help="The PNG file to write.", show_default=False)],
    typed: Typed,
    run: Annotated[
        Path | None, typer.Option(help="A finished run, for transforms that ask where a network looks.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Weights of a network with a new head, where there is no run: a file with a card."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=200, help="Pictures: the rows of the sheet.")] = 6,
    size: Annotated[
        int | None, typer.Option(min=8, help="Side in pixels; default: the network's, else 160.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting of a column, as ricap.origin=corner; may be repeated."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """See what augmentations do: a sheet of pictures with their masks, and what their labels become."""
    from foveate.augmentation import TRANSFORMS
    from foveate.data.discover import discover
    from foveate.experiment.specification import assign
    from foveate.models.build import build_network
    from foveate.models.settings import ModelConfig
    from foveate.reporting.augmentations import write_augmentations

    settings: dict[str, dict[str, object]] = {}
    for assignment in assignments or []:
        settings = assign(settings, assignment)
    if file.suffix.lower() != ".png":
        raise ConfigError(f"--out takes a .png file, got '{file}'.")
    columns = words(names)
    if not columns:
        raise ConfigError("--with is empty; name augmentations, as cutmix,standard.")
    layout = layout_of(typed)
    fit: Any = "squash"
    if run is not None:
        if weights is not None or size is not None:
            raise ConfigError("A --run brings its own network and size; leave --weights and --size out.")
        opened = open_run(run)
        model, fit = opened.model, opened.experiment.data.fit
        layout = layout_of(typed, opened.experiment.data.layout)
        catalog = discover(data, layout).catalog
        if model.card.classes != len(catalog.classes):
            raise ConfigError(
                f"The run knows {model.card.classes} classes and {data} has {len(catalog.classes)}; use a run on these."
            )
    else:
        catalog = discover(data, layout).catalog
        config = (
            ModelConfig(weights=weights)
            if weights
            else ModelConfig(backbone="foveate_small_cnn", weights="none")
        )
        side = size if size is not None or weights else 160
        model = build_network(config, max(2, len(catalog.classes)), side, seed)
        if any(name in TRANSFORMS for name in columns):
            tell("Without --run the network is not trained: columns that ask it where to look mean nothing.")
    shown = write_augmentations(
        catalog, columns, file, model, count=count, seed=seed, settings=settings, fit=fit
    )
    out.print(
        f"{len(shown)} pictures, {len(columns)} augmentations: [bold]{escape(str(file))}[/]", soft_wrap=True
    )
