"""What a network's head receives of pictures, computed once and kept in the cache folder."""

import hashlib
import time
from pathlib import Path

import numpy as np
import torch

from foveate.data.cache_config import CacheConfig, cache_folder
from foveate.evaluation.subject import Subject
from foveate.training.shared_features import SharedFeatures


def features_of(
    subject: Subject, rows: np.ndarray, what: str, kept: CacheConfig | None = None
) -> tuple[np.ndarray, float | None]:
    """Features (n, F) float32 of these rows of the catalog, without augmentation, and the seconds that they took; None
    where they were kept from before.

    Args:
        what: is being done, for progress.
        kept: where features are kept between commands; None, or not enabled: nowhere.
    """
    took: list[float] = []

    def compute() -> torch.Tensor:
        started = time.perf_counter()
        found = [subject.features(batch) for batch in subject.batches(rows, what)]
        took.append(time.perf_counter() - started)
        return torch.cat(found)

    if kept is None or not kept.enabled:
        return compute().numpy(), took[0]
    catalog = subject.catalog
    states = [
        (str(file), s.st_size, s.st_mtime_ns)
        for file, s in ((f, Path(f).stat()) for f in map(catalog.file, rows.tolist()))
    ]
    state = hashlib.sha256(repr(states).encode()).hexdigest()
    store = SharedFeatures(cache_folder(kept) / "features", f"features {state} {subject.size} {subject.fit}")
    settings = {"batch": subject.batch_size, "precision": "fp32_channels_last"}
    return store.get(subject.model, settings, compute).cpu().numpy(), took[0] if took else None
