"""Test pictures that several runs name correctly, to be explained side by side."""

import os
from collections.abc import Sequence
from pathlib import Path

from foveate.core.errors import ConfigError, DataError
from foveate.data.catalog import composed
from foveate.evaluation.measure import predict
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.subject import pick_device
from foveate.experiment.run_folder import RunFolder
from foveate.experiment.subjects import subject_of


def agreeing_pictures(runs: Sequence[RunFolder], count: int, device: str = "auto") -> list[Path]:
    """For each of the first ``count`` classes that have one: the first test picture that ALL runs name correctly.

    "First" is the order of the first run's catalog. Test pictures of one run that another has not in its test are left
    out, since that other may have learnt them.

    Raises:
        DataError: the runs' classes differ, or fewer classes than ``count`` have such a picture.
        ConfigError: ``count`` is no positive number.
    """
    if count < 1:
        raise ConfigError(f"agreeing is {count}; it counts pictures and must be 1 or more.")
    first = runs[0].catalog
    for run in runs[1:]:
        if [composed(name) for name in run.catalog.class_ids] != [composed(name) for name in first.class_ids]:
            raise DataError(
                f"{run.folder} knows other classes than {runs[0].folder}; agreeing needs the same."
            )
    right = set.intersection(*(_right(run, device) for run in runs))
    chosen: dict[int, Path] = {}
    for row in first.indices("test"):
        file = first.file(row)
        if os.path.realpath(file) in right:
            chosen.setdefault(int(first.labels[row]), file)
    if len(chosen) < count:
        who = "the run names" if len(runs) == 1 else f"all {len(runs)} runs name"
        hint = f"ask for at most {len(chosen)}" if chosen else "were they trained on the same split?"
        raise DataError(
            f"{len(chosen)} of {len(first.classes)} classes have a test picture that {who} correctly, {count} were "
            f"wanted; {hint}."
        )
    return [chosen[label] for label in sorted(chosen)[:count]]


def _right(run: RunFolder, device: str) -> set[str]:
    """Real paths of the test pictures that the plain network names correctly."""
    table: PredictionTable = run.predictions
    if (
        run.experiment.evaluation.tta != "none" or "test" not in table.splits
    ):  # maps explain the plain network
        size, place = run.environment["size"], pick_device(device)
        subject = subject_of(run.experiment, run.model, run.catalog, size, place, tta="none")
        table = predict(subject, run.catalog.indices("test"))
    test = table.of_split("test")
    return {os.path.realpath(run.catalog.root / path) for path in test.path[test.correct].tolist()}
