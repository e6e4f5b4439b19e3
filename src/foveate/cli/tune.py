"""foveate tune"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from foveate.cli.arguments import Data, Quarantine
from foveate.cli.flags import LAYOUT, Typed, build_experiment, takes
from foveate.cli.screen import fail, guarded


@takes("backbone", "weights", "size", "guide", "split", *LAYOUT, "seed", "device", "set")
@guarded
def tune(
    data: Data,
    folder: Annotated[
        Path,
        typer.Option("--out", help="The search's folder: new, or one that was stopped.", show_default=False),
    ],
    config: Annotated[
        Path,
        typer.Option(
            help="YAML file: experiment (as for train), space, metric, trials ...", show_default=False
        ),
    ],
    typed: Typed,
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many trials; default: the file's, else 20.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=256, help="Trials at the same time, each in its own process.")
    ] = 1,
    storage: Annotated[
        str | None,
        typer.Option(help="URL of a database that several machines share; default: SQLite in the folder."),
    ] = None,
    quarantine: Quarantine = False,
) -> None:
    """Search for good settings on the validation pictures; the test pictures are left alone."""
    from foveate.cli.tune_screen import Screen, show
    from foveate.core.config import parse
    from foveate.core.reading import read_yaml
    from foveate.recipes import finetune
    from foveate.studies.search import Search
    from foveate.studies.tune import tune as search_for

    values = read_yaml(config)
    if trials is not None:
        values["trials"] = trials
    search = parse(Search, values, source=str(config))
    ranking = search_for(
        search, build_experiment(finetune, typed, search.experiment), data, folder, storage=storage or "", jobs=jobs,
        quarantine=quarantine, make_observer=partial(Screen, bars=jobs == 1),
    )  # fmt: skip
    show(ranking, data, folder, quarantine)
    failed = len(ranking.of("failed"))
    if failed:
        fail(f"{failed} of {len(ranking.entries)} trials failed; the others are ranked above.")
