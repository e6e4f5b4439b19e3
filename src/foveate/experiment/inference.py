"""A trained run applied to pictures: loose ones, its own splits again, or another labelled data set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foveate.core.errors import DataError
from foveate.data.batch import Batch, counted
from foveate.data.cache import CacheConfig, Item, Pictures, Progress, open_pictures, stacked
from foveate.data.catalog import UNLABELLED, Catalog, composed
from foveate.data.decode import DecodeError, resampling
from foveate.data.discover import LayoutConfig, discover, flat, is_flat
from foveate.data.loader import in_order
from foveate.data.transforms import Transform
from foveate.evaluation.backgrounds import BackgroundTests, measure_backgrounds
from foveate.evaluation.explainers import look_columns
from foveate.evaluation.inference import predict_batches
from foveate.evaluation.look import measure_look
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.tta import parse_tta
from foveate.experiment.overlap import without_training
from foveate.experiment.run_folder import RunFolder
from foveate.experiment.specification import Experiment
from foveate.models.networks import Network
from foveate.pretext import Asker, Normal, build_task, question_catalog

BATCH = 32
"""Pictures a batch in prediction; fixed, so that figures do not depend on the training's batch size."""


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def pick_device(name: str) -> torch.device:
    """ "auto" is the accelerator if there is one."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def predict_catalog(
    model: Network,
    catalog: Catalog,
    rows: np.ndarray,
    experiment: Experiment,
    *,
    size: int,
    tta: str,
    device: torch.device,
    workers: int = 0,
    cache: CacheConfig | None = None,
    look: bool = True,
    ask: bool = True,
    progress: Progress = quiet,
    faults: dict[int, str] | None = None,
) -> PredictionTable:
    """Predict these rows of a catalog; with masks, also where the network looks.

    Args:
        size: side of the picture the network sees.
        look: measure energy in the mask where pictures have masks.
        ask: in a pretext run, ask its task's questions; otherwise the pictures are shown as they are.
        progress: called with (what, pictures done, of how many) for each pass over the pictures.
        faults: takes {row: why} of pictures that cannot be read, which then have no prediction; needs 0 ``workers``.
            None: such a picture is an error.
    """
    cache = cache or decoded(experiment)
    side = parse_tta(tta).side

    def batches(side: int, what: str) -> Iterator[Batch]:
        # The whole catalog's pictures, of which only these rows are read: training has cached them under that key.
        pictures = open_pictures(catalog, side, experiment.data.fit, cache)
        if faults is not None:
            pictures = _Readable(pictures, faults)
        loader = in_order(pictures, catalog.labels, rows, side, BATCH, workers)
        return counted(loader.epoch(0), len(rows), partial(progress, what))

    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = predict_batches(
        model,
        shown(batches(side or size, "predicting"), asker_of(experiment, catalog, model) if ask else None),
        device=device,
        tta=tta,
        size=size,
        resample=resampling(experiment.data.fit),
        memory_format=torch.channels_last,
    )
    table = PredictionTable.from_catalog(found.log_probabilities, catalog, found.index)
    if look and any(catalog.samples[row].mask for row in rows):
        _, columns = measure_look(
            model,
            batches(size, "measuring where it looks"),
            device=device,
            taps=(experiment.evaluation.look_tap,),
        )
        table = table.with_look(columns)
    if look and experiment.evaluation.look_methods:
        table = table.with_look(
            look_columns(
                model, batches(size, "scoring explanations"), device=device, methods=experiment.evaluation.look_methods,
                metrics=experiment.evaluation.look_metrics,
            )
        )  # fmt: skip
    return table


def decoded(experiment: Experiment) -> CacheConfig:
    """Pictures as training saw them, without keeping them: at the size that its cache has, if it has one of its own."""
    return experiment.data.cache.model_copy(update={"enabled": False})


class _Readable:
    """Pictures of which those that cannot be read are black, and named."""

    def __init__(self, pictures: Pictures, faults: dict[int, str]) -> None:
        self.pictures, self.faults = pictures, faults
        self.size, self.has_masks = pictures.size, pictures.has_masks

    def __len__(self) -> int:
        return len(self.pictures)

    def name(self, row: int) -> str:
        return self.pictures.name(row)

    def read(self, row: int) -> Item:
        try:
            return self.pictures.read(row)
        except DecodeError as error:
            self.faults[row] = error.reason or str(error)
            size = (self.size, self.size)
            return (
                torch.zeros((3, *size), dtype=torch.uint8),
                torch.zeros((1, *size), dtype=torch.uint8),
                False,
            )

    def read_many(self, rows: Sequence[int] | np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return stacked(self.read(int(row)) for row in rows)


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


def shown(batches: Iterator[Batch], asker: Asker | None) -> Iterator[Batch]:
    """Batches of a loader; those of a pretext run as its questions (pairs of views: the pictures)."""
    return batches if asker is None or asker.pairs else map(asker.fixed, batches)


def measured(catalog: Catalog, experiment: Experiment) -> Catalog:
    """The same rows, where those that the experiment does not measure belong to no split."""
    known = ("train", *experiment.evaluation.splits)
    return catalog.with_splits([s.split if s.split in known else "" for s in catalog.samples])


def judged_split(catalog: Catalog) -> str:
    """The split that a run is judged on: the test, or the validation pictures where there is none."""
    return "test" if len(catalog.indices("test")) else "val"


def background_tests(
    model: Network,
    catalog: Catalog,
    experiment: Experiment,
    *,
    size: int,
    tta: str,
    device: torch.device,
    workers: int = 0,
    cache: CacheConfig | None = None,
    progress: Progress = quiet,
) -> BackgroundTests | None:
    """The background tests of the split that the run is judged on; None without masks, or when they are off."""
    split = judged_split(catalog)
    masked = any(catalog.samples[row].mask for row in catalog.indices(split))
    if not experiment.evaluation.background_tests or not masked:
        return None
    side = parse_tta(tta).side or size
    return measure_backgrounds(
        model.to(device=device, memory_format=torch.channels_last),  # type: ignore[call-overload]
        catalog,
        split,
        open_pictures(catalog, side, experiment.data.fit, cache or decoded(experiment)),
        side,
        device=device,
        tta=tta,
        size=size,
        resample=resampling(experiment.data.fit),
        memory_format=torch.channels_last,
        batch_size=BATCH,
        workers=workers,
        tell=partial(progress, "testing other backgrounds"),
    )


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
