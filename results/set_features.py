"""Features of a whole set by a frozen network, for results/label_errors.py and results/learning_curve.py."""

from pathlib import Path

import numpy as np

from foveate.data.audit.auditor import checked
from foveate.data.cache_config import CacheConfig
from foveate.data.discover import discover
from foveate.data.layout_settings import LayoutConfig
from foveate.evaluation.features import features_of
from foveate.evaluation.subject import pick_device, quiet
from foveate.experiment.prepare import keep_together
from foveate.experiment.specification import DataConfig
from foveate.studies.frozen_network import frozen

LEAST = 5
"""Pictures of a class; smaller classes are left out."""
GROUPS = {"amazonbirds5": r"regex:(frame\d+)"}
SIDES = {"plants8": 96}


def set_features(folder: Path, weights: str, side: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, F), labels (N,) from 0, groups (N,): those of the set, else near copies together."""
    found = discover(folder, LayoutConfig(group=GROUPS.get(folder.name)))
    alike = checked(found, CacheConfig())["alike"]
    catalog = keep_together(found.catalog.with_splits([""] * len(found.catalog)), alike)
    rows = np.flatnonzero(catalog.counts()[catalog.labels] >= LEAST)
    config = DataConfig(size=SIDES.get(folder.name, side))
    subject = frozen(weights, catalog, config, pick_device("cpu"), quiet)
    features, _ = features_of(subject, rows, folder.name, CacheConfig())
    groups = np.array([catalog.samples[row].group or catalog.samples[row].path for row in rows])
    return features, np.unique(catalog.labels[rows], return_inverse=True)[1], groups
