"""Explanation methods measured on the pictures of a run, or on another data set with its classes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.config import parse
from foveate.core.errors import DataError
from foveate.data.cache import CacheConfig, open_pictures
from foveate.data.catalog import Catalog
from foveate.data.discover import LayoutConfig, discover
from foveate.data.loader import Loader
from foveate.data.transforms import build_transform
from foveate.evaluation.explainers import LookConfig, measure_explainers
from foveate.evaluation.look_table import LookTable
from foveate.experiment.inference import judged_split, measured, pick_device, unseen
from foveate.experiment.run import Run

BATCH = 16
"""Pictures a batch; a method divides it further where its own passes are larger."""


def look_at_run(
    run: Run,
    data: Path | None,
    methods: Sequence[str],
    metrics: Sequence[str] | None,
    *,
    masks: Path | None,
    layout: LayoutConfig | None,
    limit: int | None,
    device: str,
    workers: int,
    progress: Callable[[int, int], None] | None,
    told: Callable[[str], None],
    settings: dict[str, Any],
) -> LookTable:
    """See ``Run.look``."""
    catalog, split = _pictures(run, data, masks, layout, told)
    wanted = settings.get("target") == "true"
    rows = catalog.indices(split, labelled=wanted)
    if limit is not None and limit < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, limit).round().astype(int)]
    if not len(rows):
        raise DataError(f"There is no {'labelled ' if wanted else ''}picture to look at in {catalog.root}.")
    masked = sum(bool(catalog.samples[row].mask) for row in rows)
    if metrics is None:
        metrics = ("localisation", "faithfulness") if masked else ("faithfulness",)
    elif "localisation" in metrics and not masked:
        raise DataError(
            f"No picture of {catalog.root} that is measured has a mask, which localisation needs; name their folder "
            "(--masks), or ask for faithfulness alone."
        )
    values = {"methods": tuple(methods), "metrics": tuple(metrics), **settings}
    config = parse(LookConfig, values, source="what to look at")
    size, experiment = run.environment["size"], run.experiment
    pictures = open_pictures(catalog, size, experiment.data.fit, CacheConfig(enabled=False))
    transform = build_transform(experiment.data.augment, size, train=False)
    loader = Loader(
        pictures, catalog.labels, rows, transform, BATCH, experiment.seed, shuffle=False, workers=workers
    )
    place = pick_device(device)
    model = run.model.to(place)
    table = measure_explainers(
        model,
        loader.epoch(0),
        {row: sample.path for row, sample in enumerate(catalog.samples)},
        device=place,
        config=config,
        progress=None if progress is None else lambda done, _: progress(done, len(rows)),
    )
    about = {"run": str(run.folder), "data": str(catalog.root), "split": split, "masked": masked}
    about |= {} if masks is None else {"masks": str(masks)}
    return replace(table, settings={**about, **table.settings})


def _pictures(
    run: Run, data: Path | None, masks: Path | None, layout: LayoutConfig | None, told: Callable[[str], None]
) -> tuple[Catalog, str]:
    """The catalog, and the split of it that is looked at."""
    layout = layout or run.experiment.data.layout
    if masks is not None:
        layout = layout.model_copy(update={"masks": masks.absolute()})
    if data is not None:
        catalog = unseen(run, data, layout, told)
        return catalog, judged_split(catalog)
    catalog = measured(run.catalog, run.experiment)
    split = judged_split(catalog)
    if masks is None:
        return catalog, split
    found = discover(Path(run.environment["data"]), layout).catalog
    known = {sample.path: sample.mask for sample in found.samples}
    samples = tuple(replace(sample, mask=known.get(sample.path, "")) for sample in catalog.samples)
    return replace(catalog, samples=samples), split
