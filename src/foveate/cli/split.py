"""foveate split"""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from foveate.cli.arguments import Data, Seed
from foveate.cli.flags import LAYOUT, Typed, layout_of, takes
from foveate.cli.screen import guarded, out, screen_observer


@takes(*LAYOUT)
@guarded
def split(
    data: Data,
    file: Annotated[Path, typer.Option("--out", help="The split file to write.", show_default=False)],
    typed: Typed,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validation folds instead of one test split.")
    ] = None,
    val: Annotated[float, typer.Option(help="Share for validation.")] = 0.15,
    test: Annotated[float, typer.Option(help="Share for the test.")] = 0.15,
    seed: Seed = 0,
) -> None:
    """Divide the pictures, stratified and by group, into a file that every run of a comparison shares."""
    import numpy as np

    from foveate.data.audit.auditor import checked
    from foveate.data.cache_config import CacheConfig
    from foveate.data.discover import discover
    from foveate.data.split import SplitConfig, save_split, split_hash
    from foveate.data.split import split as divide
    from foveate.experiment.prepare import keep_together

    layout = layout_of(typed)
    found = discover(data, layout)
    screen = screen_observer()
    try:
        alike = checked(found, CacheConfig(), screen.progress)["alike"]
    finally:
        screen.close()
    # As training does: a file that divides copies would be refused by the training that follows it.
    catalog = keep_together(found.catalog, alike)
    result = divide(catalog, SplitConfig(folds=folds, val=val, test=test, seed=seed))
    save_split(result.catalog, file, result.folds)
    for note in (*found.notes, *result.notes):
        out.print(escape(note), style="dim")
    if result.folds is not None:
        sizes = np.bincount([fold for fold in result.folds if fold >= 0])
        out.print(f"{len(sizes)} folds of {', '.join(map(str, sizes))} pictures")
    else:
        counts = [
            f"{name} {len(result.catalog.indices(name, labelled=False))}" for name in ("train", "val", "test")
        ]
        out.print(", ".join(counts))
    if catalog is not found.catalog and alike:
        out.print(f"{len(alike)} sets of equal or nearly alike pictures were kept together.", style="dim")
    out.print(f"[bold]{escape(str(file))}[/], hash {split_hash(result.catalog)}")
