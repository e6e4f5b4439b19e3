"""foveate augment preview"""

from pathlib import Path
from typing import Annotated, Any

import typer

from foveate.cli.command import command
from foveate.cli.flags import LAYOUT, Typed, assigned, layout_of, words
from foveate.cli.screen import open_run, say, tell
from foveate.core.errors import ConfigError


@command(*LAYOUT)
def preview(
    data: Path, *, with_: str, out: Path, typed: Typed, run: Path | None = None, weights: str | None = None,
    count: Annotated[int, typer.Option(min=1, max=200)] = 6,
    size: Annotated[int | None, typer.Option(min=8)] = None,
    set_: list[str] | None = None, seed: int = 0,
) -> None:  # fmt: skip
    """See what augmentations do: a sheet of pictures with their masks, and what their labels become.

    Args:
        with_: Presets, steps and transforms joined by commas (foveate list augmentations, steps, transforms).
        out: The PNG file to write.
        run: A finished run, for transforms that ask where a network looks.
        weights: Weights of a network with a new head, where there is no run: a file with a card.
        count: Pictures: the rows of the sheet.
        size: Side in pixels; default: the network's, else 160.
        set_: One setting of a column, as ricap.origin=corner; may be repeated.
    """
    from foveate.augmentation import TRANSFORMS
    from foveate.augmentation.guidance import GuidedConfig
    from foveate.data.discover import discover
    from foveate.models.build import build_network
    from foveate.models.settings import ModelConfig
    from foveate.reporting.augmentations import transform_config, write_augmentations

    settings = assigned(set_)
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out takes a .png file, got '{out}'.")
    columns = words(with_)
    if not columns:
        raise ConfigError("--with is empty; name augmentations, as cutmix,standard.")
    transforms = {
        name: transform_config(name, settings.get(name, {})) for name in columns if name in TRANSFORMS
    }
    opened = None if run is None else open_run(run)
    if opened and (weights is not None or size is not None):
        raise ConfigError("A --run brings its own network and size; leave --weights and --size out.")
    catalog = discover(data, layout_of(typed, opened.experiment.data.layout if opened else None)).catalog
    fit: Any = "squash"
    if opened:
        model, fit = opened.model, opened.experiment.data.fit
        if model.card.classes != len(catalog.classes):
            raise ConfigError(
                f"The run knows {model.card.classes} classes and {data} has {len(catalog.classes)}; use a run on these."
            )
    else:
        config = {"weights": weights} if weights else {"backbone": "foveate_small_cnn", "weights": "none"}
        side = size if size is not None or weights else 160
        model = build_network(ModelConfig(**config), max(2, len(catalog.classes)), side, seed)
        if any(isinstance(config, GuidedConfig) for config in transforms.values()):
            tell("Without --run the network is not trained: columns that ask it where to look mean nothing.")
    needing = [name for name, config in transforms.items() if "masks" in config.consumes()]
    if needing and not catalog.has_masks:
        tell(f"No picture has a mask, so nothing is changed by {', '.join(needing)}.")
    shown = write_augmentations(
        catalog, columns, out, model, count=count, seed=seed, settings=settings, fit=fit
    )
    say(f"{len(shown)} pictures, {len(columns)} augmentations: ", out)
