"""What a run is measured on: its own pictures, another labelled data set, loose pictures; and how it sees them."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foveate.core.config import parse
from foveate.core.errors import ConfigError, DataError
from foveate.data.cache import open_pictures
from foveate.data.cache_config import CacheConfig
from foveate.data.catalog import UNLABELLED, Catalog, composed
from foveate.data.discover import discover, flat, is_flat
from foveate.data.layout_settings import LayoutConfig
from foveate.data.transforms import Transform
from foveate.evaluation.evaluators import EVALUATORS, Evaluator
from foveate.evaluation.evaluators.variants import VariantTest
from foveate.evaluation.measure import predict
from foveate.evaluation.settings import EvaluationConfig
from foveate.evaluation.subject import Subject, pick_device
from foveate.experiment.known_pictures import without_training
from foveate.experiment.run_folder import RunFolder
from foveate.experiment.specification import Experiment
from foveate.models.networks import Network
from foveate.pretext import TASKS, Asker, Normal, question_catalog


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


def subject_of_run(
    run: RunFolder, catalog: Catalog, device: str, tta: str | None = None, **more: Any
) -> Subject:
    """The run's network as it was measured, on these pictures; ``tta`` in place of the experiment's."""
    more |= {} if tta is None else {"tta": tta}
    size = run.environment["size"]
    return subject_of(run.experiment, run.model, catalog, size, pick_device(device), **more)


def evaluators_of(
    experiment: Experiment, subject: Subject, further: Sequence[str | dict[str, Any]] = ()
) -> list[Evaluator]:
    """What the experiment measures besides the answers, and further evaluators, by name or as settings.

    Raises:
        ConfigError: an evaluator is unknown.
        DataError: a further one changes pictures along their masks, and none of them has a mask.
    """
    named = [{"kind": name} if isinstance(name, str) else name for name in further]
    wanted = parse(EvaluationConfig, {"measures": named}, source="what to measure").measures if named else ()
    kinds = {config.kind for config in wanted}
    own = [config for config in experiment.evaluation.measures if config.kind not in kinds]
    found = [EVALUATORS.build(config, subject) for config in (*own, *wanted)]
    for evaluator in found:
        kind = evaluator.config.kind
        if kind in kinds and isinstance(evaluator, VariantTest) and not len(evaluator.rows()):
            raise DataError(
                f"{kind} needs pictures with a mask, and none of those of {subject.catalog.root} that are judged has "
                "one; name their folder (--masks), or make some with foveate masks propose."
            )
    return found


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
    return Asker(
        TASKS.build(experiment.task), experiment.seed, tuple(s.path for s in catalog.samples), normal
    )


def question_rows(
    experiment: Experiment, catalog: Catalog, size: int, cache: CacheConfig, progress: Any = None
) -> Catalog:
    """The catalog with the questions of the experiment's task in place of its classes."""
    pictures = open_pictures(catalog, size, experiment.data.fit, cache, progress=progress)
    return question_catalog(catalog, TASKS.build(experiment.task), pictures, Transform((), size))


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
    index = {composed(name): i for i, name in enumerate(known.class_ids)} | {None: UNLABELLED}
    ids = (*map(composed, catalog.class_ids), None)  # of an unlabelled picture, -1, the last
    unknown = sorted({str(ids[s.label]) for s in catalog.samples if ids[s.label] not in index})
    if unknown:
        raise DataError(f"{catalog.root} has the classes {unknown}, which the run was not trained on.")
    samples = tuple(replace(s, label=index[ids[s.label]], split="test") for s in catalog.samples)
    return replace(catalog, classes=known.classes, samples=samples, class_ids=known.class_ids)


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
    table = run.predictions
    # Maps explain the plain network.
    if run.experiment.evaluation.tta != "none" or "test" not in table.splits:
        subject = subject_of_run(run, run.catalog, device, tta="none")
        table = predict(subject, run.catalog.indices("test"))
    test = table.of_split("test")
    return {os.path.realpath(run.catalog.root / path) for path in test.path[test.correct].tolist()}
