"""What is measured of a trained network at the end of a run, and the files that hold it."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foveate.data.batch import counted
from foveate.data.cache import Progress, open_pictures
from foveate.data.catalog import Catalog
from foveate.data.loader import in_order
from foveate.evaluation.background_files import SHEET, TABLE, BackgroundTable
from foveate.evaluation.gallery import choose_rows, save_maps
from foveate.evaluation.neighbours import extract_features, nearest_neighbours
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.inference import (
    BATCH,
    asker_of,
    background_tests,
    judged_split,
    predict_catalog,
    quiet,
    shown,
)
from foveate.experiment.specification import Experiment
from foveate.models.networks import Network


def write_predictions(
    experiment: Experiment, catalog: Catalog, model: Network, size: int, device: torch.device, out: Path,
    progress: Progress = quiet,
) -> PredictionTable:  # fmt: skip
    """Validation and test pictures: predictions.csv and, for a few of them, maps.npz."""
    cache = experiment.data.cache
    rows = np.concatenate([catalog.indices("val", labelled=False), catalog.indices("test", labelled=False)])
    table = predict_catalog(
        model, catalog, rows, experiment, size=size, tta=experiment.evaluation.tta, device=device, cache=cache,
        progress=progress,
    )  # fmt: skip
    table.to_csv(out / "predictions.csv")
    split = judged_split(catalog)
    if not len(catalog.indices(split)):
        return table  # nothing is labelled, so no picture is right or wrong
    chosen = choose_rows(table, catalog, split=split)
    if len(chosen):
        pictures = open_pictures(catalog, size, experiment.data.fit, cache)
        loader = in_order(pictures, catalog.labels, chosen, size, BATCH)
        taps = (experiment.evaluation.look_tap,)
        batches = shown(loader.epoch(0), asker_of(experiment, catalog, model))
        save_maps(out / "maps.npz", model, batches, chosen, device=device, taps=taps)
    return table


def neighbours_of(
    experiment: Experiment, catalog: Catalog, model: Network, size: int, device: torch.device,
    progress: Progress = quiet,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """{split: k-NN of the features, judged by the pictures' own classes}; empty when it is not asked for."""
    k = experiment.evaluation.neighbours
    if k is None or len(catalog.classes) < 2:
        return {}
    pictures = open_pictures(catalog, size, experiment.data.fit, experiment.data.cache)

    def features(split: str) -> tuple[np.ndarray, np.ndarray]:
        rows = catalog.indices(split)
        loader = in_order(pictures, catalog.labels, rows, size, BATCH)
        batches = counted(loader.epoch(0), len(rows), partial(progress, f"features for neighbours ({split})"))
        return extract_features(model, batches, device=device), catalog.labels[rows]

    wanted = [split for split in experiment.evaluation.splits if len(catalog.indices(split))]
    if not wanted:
        return {}
    train = features("train")
    return {split: nearest_neighbours(*train, *features(split), k=k) for split in wanted}


def write_background_tests(
    experiment: Experiment, catalog: Catalog, model: Network, size: int, device: torch.device, out: Path,
    progress: Progress = quiet,
) -> BackgroundTable | None:  # fmt: skip
    """Where there are masks: background_tests.csv and, for a few pictures, background_tests.npz."""
    tests = background_tests(
        model,
        catalog,
        experiment,
        size=size,
        tta=experiment.evaluation.tta,
        device=device,
        cache=experiment.data.cache,
        progress=progress,
    )
    if tests is None:
        return None
    tests.table.to_csv(out / TABLE)
    tests.sheet.save(out / SHEET)
    return tests.table
