"""What a run is measured on: its own pictures, another labelled data set, loose pictures; and how it sees them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foveate.core.errors import DataError
from foveate.data.cache import open_pictures
from foveate.data.cache_config import CacheConfig
from foveate.data.catalog import UNLABELLED, Catalog, composed
from foveate.data.discover import discover, flat, is_flat
from foveate.data.layout_settings import LayoutConfig
from foveate.data.transforms import Transform
from foveate.evaluation.evaluators import EVALUATORS, Evaluator
from foveate.evaluation.subject import Subject
from foveate.experiment.known_pictures import without_training
from foveate.experiment.run_folder import RunFolder
from foveate.experiment.specification import Experiment
from foveate.models.networks import Network
from foveate.pretext import Asker, Normal, build_task, question_catalog


def subject_of(
    experiment: Experiment, model: Network, catalog: Catalog, size: int, device: torch.device, **more: Any
) -> Subject:
    """The network as the experiment measures it, on pictures ``size`` px wide; ``more``: further fields of Subject."""
    settings = {
        "cache": decoded(experiment), "tta": experiment.evaluation.tta, "asker": asker_of(experiment, catalog, model)
    }  # fmt: skip
    return Subject(
        model.to(device=device, memory_format=torch.channels_last),  # type: ignore[call-overload]
        catalog, device, size, experiment.data.fit, **{**settings, **more},
    )  # fmt: skip


def evaluators_of(experiment: Experiment, subject: Subject) -> list[Evaluator]:
    """What the experiment measures besides the answers."""
    return [EVALUATORS.build(config, subject) for config in experiment.evaluation.measures]


def measured_rows(experiment: Experiment, catalog: Catalog) -> np.ndarray:
    """Catalog rows that are predicted: of the splits that the experiment measures, also without labels."""
    splits = [
        split
        for split in ("train", "val", "test")
        if split != "train" or split in experiment.evaluation.splits
    ]
    return np.concatenate([catalog.indices(split, labelled=False) for split in splits])


def decoded(experiment: Experiment) -> CacheConfig:
    """Pictures as training saw them, without keeping them: at the size that its cache has, if it has one of its own."""
    return experiment.data.cache.model_copy(update={"enabled": False})


def asker_of(experiment: Experiment, catalog: Catalog, model: Network) -> Asker | None:
    """What asks the questions of a pretext run; None in an ordinary one."""
    if experiment.task is None:
        return None
    normal = Normal(model.mean.cpu(), model.std.cpu())
    return Asker(build_task(experiment.task), experiment.seed, tuple(s.path for s in catalog.samples), normal)


def question_rows(
    experiment: Experiment, catalog: Catalog, size: int, cache: CacheConfig, progress: Any = None
) -> Catalog:
    """The catalog with the questions of the experiment's task in place of its classes."""
    pictures = open_pictures(catalog, size, experiment.data.fit, cache, progress=progress)
    return question_catalog(catalog, build_task(experiment.task), pictures, Transform((), size))


def measured(catalog: Catalog, experiment: Experiment) -> Catalog:
    """The same rows, where those that the experiment does not measure belong to no split."""
    known = ("train", *experiment.evaluation.splits)
    return catalog.with_splits([s.split if s.split in known else "" for s in catalog.samples])


def shown_to(
    run: RunFolder, data: Path | str | None, layout: LayoutConfig | None,
    told: Callable[[str], None] = lambda text: None,
) -> Catalog:  # fmt: skip
    """What a run is measured on: its own pictures, or those of ``data`` that it was not trained on."""
    if data is None:
        return measured(run.catalog, run.experiment)
    data, layout = Path(data), layout or run.experiment.data.layout
    if run.experiment.task is not None:
        found = flat(data) if is_flat(data) else discover(data, layout)
        catalog = without_training(found.catalog, run.catalog, run.folder, told)
        return question_rows(run.experiment, catalog, run.environment["size"], decoded(run.experiment))
    return unseen(run, data, layout, told)


def unseen(
    run: RunFolder, data: Path, layout: LayoutConfig, told: Callable[[str], None] = lambda text: None
) -> Catalog:
    """Another labelled data set with the run's classes, without the pictures that the run was trained on.

    Raises:
        DataError: an unknown class, or nothing is left.
    """
    catalog = relabel(discover(data, layout).catalog, run.catalog)
    return without_training(catalog, run.catalog, run.folder, told)


def relabel(catalog: Catalog, known: Catalog) -> Catalog:
    """The pictures of ``catalog`` with the label indices of ``known``; all of it becomes the test split.

    Raises:
        DataError: a class of ``catalog`` is unknown.
    """
    index = {composed(name): i for i, name in enumerate(known.class_ids)}
    ids = [composed(name) for name in catalog.class_ids]
    unknown = sorted({ids[s.label] for s in catalog.samples if s.label != UNLABELLED} - set(index))
    if unknown:
        raise DataError(f"{catalog.root} has the classes {unknown}, which the run was not trained on.")
    samples = tuple(
        replace(s, label=index[ids[s.label]] if s.label != UNLABELLED else UNLABELLED, split="test")
        for s in catalog.samples
    )
    return replace(catalog, classes=known.classes, samples=samples, class_ids=known.class_ids)
