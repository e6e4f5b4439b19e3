"""foveate tune"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from foveate.cli.command import AtLeastOne, command
from foveate.cli.flags import LAYOUT, Typed, build_experiment
from foveate.cli.screen import fail


@command("backbone", "weights", "size", "guide", "split", *LAYOUT, "seed", "device", "set")
def tune(
    data: Path, *, out: Path, config: Path, typed: Typed, trials: AtLeastOne = None,
    jobs: Annotated[int, typer.Option(min=1, max=256)] = 1, storage: str | None = None, quarantine: bool = False,
) -> None:  # fmt: skip
    """Search for good settings on the validation pictures; the test pictures are left alone.

    Args:
        out: The search's folder: new, or one that was stopped.
        config: YAML file: experiment (as for train), space, metric, trials ...
        trials: How many trials; default: the file's, else 20.
        jobs: Trials at the same time, each in its own process.
        storage: URL of a database that several machines share; default: SQLite in the folder.
    """
    from foveate.cli.tune_screen import Screen, show_ranking
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
        search, build_experiment(finetune, typed, search.experiment), data, out, storage=storage or "", jobs=jobs,
        quarantine=quarantine, make_observer=partial(Screen, bars=jobs == 1),
    )  # fmt: skip
    show_ranking(ranking, data, out, quarantine)
    failed = len(ranking.of("failed"))
    if failed:
        fail(f"{failed} of {len(ranking.entries)} trials failed; the others are ranked above.")
