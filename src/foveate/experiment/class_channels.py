"""Which channels of a run's network matter for each class, over the run's own pictures."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from foveate.core.errors import DataError
from foveate.experiment.run_folder import RunFolder
from foveate.experiment.subjects import subject_of_run
from foveate.explanation.probe import Progress
from foveate.explanation.summit import Summit, SummitConfig, summit

LAYERS = ("early", "middle", "late")
"""Feature maps of three depths, in any network whose stages timm names."""


def channels_of_run(
    run: RunFolder, layers: Sequence[str] = LAYERS, config: SummitConfig | None = None, *, split: str = "train",
    limit: int | None = None, device: str = "auto", progress: Progress | None = None,
) -> Summit:  # fmt: skip
    """``summit`` over the labelled pictures of a split, by their true classes; pictures have the catalog's numbers.

    Args:
        limit: at most so many pictures of each class, the first in the catalog.
        progress: called with (pictures done, pictures in all), over both passes.

    Raises:
        DataError: the split has no labelled picture.
    """
    catalog = run.catalog
    rows = catalog.indices(split)
    if limit is not None and len(rows):
        labels = catalog.labels[rows]
        rows = np.sort(np.concatenate([rows[labels == label][:limit] for label in np.unique(labels)]))
    if not len(rows):
        raise DataError(
            f"The split '{split}' of {run.folder} has no labelled picture; choose train, val or test."
        )
    subject = subject_of_run(run, catalog, device, asker=None)
    model = subject.model
    passes = 1 if len(layers) < 2 else 2
    seen = 0

    def pictures() -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        nonlocal seen
        for batch in subject.batches(rows, "channels"):
            ready = batch.prepare(subject.device, model.mean, model.std)
            yield ready.images, batch.labels.cpu(), batch.index
            seen += len(batch)
            if progress is not None:
                progress(min(seen, passes * len(rows)), passes * len(rows))

    return summit(model, pictures, len(catalog.classes), layers, config)
