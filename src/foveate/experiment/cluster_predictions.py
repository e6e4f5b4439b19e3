"""Predictions of any number of pictures in a Ray cluster: pieces of a list as tasks, written as they come, in order.

Ray Data would do the same with a second way to read pictures and pyarrow's columns between; here every piece is what
``Run.predict`` makes of it, so that the file is the one that a single machine writes.
"""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from foveate.core.cluster import Cluster, check_seen
from foveate.core.errors import DataError
from foveate.core.files import csv_text
from foveate.data.listing import pictures_below, shared_folder
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.subject import BATCH, Progress, quiet
from foveate.experiment.run import Run

PIECE = 16 * BATCH
"""Pictures a task: whole batches, so that each is the one that it would be on one machine."""


def predict_in_cluster(
    run: Run,
    paths: Sequence[Path],
    out: Path,
    cluster: Cluster,
    *,
    progress: Progress = quiet,
    **settings: Any,
) -> Iterator[PredictionTable]:
    """Predict pictures, also those that cannot be read (``unreadable``), and write ``out`` (CSV) when all are done.

    Args:
        run: its folder and those of the pictures are seen by every node.
        settings: of ``Run.predict_below``.

    Yields:
        The piece that was written last; no more than a few are in memory.

    Raises:
        DataError: there is no picture, or none can be read.
    """
    root = shared_folder(paths)
    total = sum(1 for _ in pictures_below(root, paths, unreadable=True))
    names = pictures_below(root, paths, unreadable=True)
    pieces = iter(lambda: list(islice(names, PIECE)), [])
    shared = cluster.put(settings)
    tasks = ((str(run.folder.absolute()), str(root), piece, shared, cluster.cpus) for piece in pieces)
    done = written = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with open(part, "w", encoding="utf-8") as stream:
            for table in cluster.in_order(_predict_there, tasks):
                header, rows = table.cells()
                lines = rows if written else [header, *rows]
                if rows:
                    stream.write(csv_text(lines[0], lines[1:]))
                written += len(rows)
                done += min(PIECE, total - done)
                progress("predicting", done, total)
                yield table
        if not written:
            raise DataError(
                f"None of the {total} pictures in {root} can be read; give other files or folders."
            )
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _predict_there(
    run: str, root: str, names: list[str], settings: dict[str, Any], threads: int
) -> PredictionTable:
    """One piece, on a node of the cluster."""
    import torch

    check_seen(run, root)
    torch.set_num_threads(threads)
    return _opened(run).predict_below(Path(root), names, quarantine=True, **settings)


@lru_cache(maxsize=1)
def _opened(folder: str) -> Run:
    """A worker process keeps its network."""
    return Run.open(folder)
