"""What a run writes down about itself: environment.json and result.json."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from foveate.core.files import SCHEMA_VERSION
from foveate.core.version import VERSION
from foveate.data.catalog import Catalog
from foveate.data.split import split_hash
from foveate.evaluation.background_files import BackgroundTable
from foveate.evaluation.metrics import convergence_epoch, summarise_all
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.prepare import Prepared
from foveate.experiment.specification import Experiment

PACKAGES = (
    "foveate",
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "numpy",
    "pillow",
    "scikit-learn",
    "safetensors",
)


def environment_of(
    data: Path, prepared: Prepared, catalog: Catalog, size: int, experiment: Experiment
) -> dict[str, Any]:
    """environment.json: the data, the hashes, the command, versions and machine."""
    versions = {package: version_of(package) for package in PACKAGES}
    return {
        "schema_version": SCHEMA_VERSION,
        "data": str(data.resolve()),
        "data_root": str(Path(catalog.root).resolve()),
        "classes": list(catalog.classes),
        "class_ids": list(catalog.class_ids),
        "size": size,
        "catalog_hash": catalog.hash,
        "split_hash": split_hash(catalog),
        "experiment_hash": experiment.hash(),
        "notes": list(prepared.notes),
        "quarantined": list(prepared.quarantined),
        "command": " ".join(sys.argv),
        "versions": versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def version_of(package: str) -> str:
    """The installed version, or "not installed"; Foveate's own also where it runs from its sources."""
    if package == "foveate":
        return VERSION
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def result_of(
    experiment: Experiment,
    catalog: Catalog,
    table: PredictionTable,
    tests: BackgroundTable | None,
    history: list[dict[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """result.json: metrics of every split, when training converged, and how long it took."""
    metrics = summarise_all(table)
    if tests is not None:
        metrics[tests.split]["backgrounds"] = tests.summary()
    # The whole loss also moves with the weights of its terms; the classification's does not.
    known = [
        name for name in ("val_classification", "val_loss", "train_loss") if history and name in history[-1]
    ]
    metric = known[0] if known else "train_loss"
    return {
        "schema_version": SCHEMA_VERSION,
        "experiment_hash": experiment.hash(),
        "catalog_hash": catalog.hash,
        "split_hash": split_hash(catalog),
        "seed": experiment.seed,
        "tta": experiment.evaluation.tta,
        "metrics": metrics,
        "convergence_epoch": convergence_epoch(history, metric, mode="min"),
        "convergence_rule": f"first epoch of the lowest {metric}",
        "epochs": len(history),
        "train_seconds": sum(row["seconds"] for row in history),
        "wall_seconds": seconds,
    }
