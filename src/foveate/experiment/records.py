"""What a run writes down about itself: environment.json and result.json."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, model_validator

from foveate.core.config import Config, deciding
from foveate.core.errors import RunError, shown
from foveate.core.files import SCHEMA_VERSION
from foveate.core.reading import read_csv
from foveate.core.version import VERSION
from foveate.data.catalog import Catalog
from foveate.data.split import split_hash
from foveate.evaluation.summary import convergence_epoch
from foveate.experiment.consumed import consumed
from foveate.experiment.prepare import Prepared
from foveate.experiment.specification import Experiment

PACKAGES = [
    "foveate",
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "numpy",
    "pillow",
    "scikit-learn",
    "safetensors",
]


class Record(Config):
    """Fields of a file that Foveate wrote, as far as they are read again; the file may hold more."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _Decided(Record):
    name: str
    value: Any
    reason: str


class _LeftOut(Record):
    path: str
    reason: str


class Noted(Record):
    """environment.json, as far as a report shows it."""

    decisions: list[_Decided] | None = None
    quarantined: list[_LeftOut] | None = None
    network: str | None = None


class Environment(Noted):
    """environment.json."""

    data: str
    data_root: str
    classes: list[str]
    class_ids: list[str]
    size: int = Field(ge=1, le=2**16)
    catalog_hash: str
    versions: dict[str, str] = Field(default={})


class Neighbours(Record):
    """The k nearest neighbours in result.json."""

    k: int
    n: int
    accuracy: float


class BackgroundScore(Record):
    """One background test in result.json."""

    accuracy: float
    as_background: float | None = None


class Backgrounds(Record):
    """The background tests in result.json."""

    n: int
    chance_majority: float
    original: BackgroundScore
    removed: BackgroundScore
    swapped: BackgroundScore | None = None
    blurred: BackgroundScore | None = None
    grey: BackgroundScore | None = None
    noise: BackgroundScore | None = None


class Share(Record):
    """An accuracy in result.json."""

    n: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float


class VariantShare(Share):
    """A test on variants of pictures in result.json."""

    consistent: float
    original: Share
    variants: dict[str, Share]


class OfClass(Record):
    """A class in result.json."""

    class_id: str
    f1: float | None


class Unlike(Record):
    """Tests unlike the training, of a split in result.json."""

    folder_backgrounds: VariantShare | None = None
    plain_colours: VariantShare | None = None
    textures: VariantShare | None = None
    moved_object: VariantShare | None = None
    attacks: dict[Annotated[str, Field(pattern="^(fgsm|pgd)_")], Share] = Field(default={})


class Metrics(Unlike):
    """A split in result.json: what was measured."""

    accuracy: float | None
    n: int | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    chance_majority: float | None = None
    per_class: list[OfClass] = Field(default=[])
    neighbours: Neighbours | None = None
    backgrounds: Backgrounds | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Metrics":
        needed = (
            "n", "accuracy_low", "accuracy_high", "balanced_accuracy", "macro_f1", "chance_majority"
        )  # fmt: skip
        missing = [name for name in needed if self.accuracy is not None and getattr(self, name) is None]
        if missing:
            raise ValueError(f"there is an accuracy, but no {', '.join(missing)}")
        return self


class Result(Record):
    """result.json."""

    experiment_hash: str
    catalog_hash: str
    split_hash: str
    metrics: dict[str, Metrics]
    wall_seconds: float = 0.0
    train_seconds: float = 0.0
    peak_memory: int | None = None
    peak_device_memory: int | None = None


def read_history(path: Path) -> list[dict[str, Any]]:
    """history.csv: a row an epoch; ``epoch`` and ``phase_epoch`` int, ``phase`` text, the rest float or None.

    Raises:
        RunError: unreadable, or a cell holds no number.
    """
    rows = []
    for line, cells in read_csv(path, ("epoch", "phase", "phase_epoch"), RunError).records():
        row: dict[str, Any] = {"phase": cells.pop("phase")}
        for name, text in cells.items():
            try:
                kind = int if name in ("epoch", "phase_epoch") else float
                row[name] = kind(text) if text or kind is int else None
            except ValueError:
                raise RunError(f"{path}, line {line}: {name} {shown(text)} is no number.") from None
        rows.append(row)
    return rows


def environment_of(
    data: Path, prepared: Prepared, catalog: Catalog, size: int, experiment: Experiment
) -> dict[str, Any]:
    """environment.json: the data, the hashes, the command, versions and machine."""
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
        "versions": {package: version_of(package) for package in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def versions_of(*packages: str) -> dict[str, str]:
    """{package: version}, and Python's."""
    return {package: version_of(package) for package in packages} | {"python": platform.python_version()}


def version_of(package: str) -> str:
    """The installed version, or "not installed"; Foveate's own also where it runs from its sources."""
    if package == "foveate":
        return VERSION
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def result_of(
    experiment: Experiment, catalog: Catalog, metrics: dict[str, dict[str, Any]], history: list[dict[str, Any]],
    seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """result.json: metrics of every split, when training converged, and how long it took."""
    # The whole loss also moves with the weights of its terms; the classification's does not.
    wanted = ("val_classification", "val_loss")
    metric = next((name for name in wanted if history and name in history[-1]), "train_loss")
    return {
        "schema_version": SCHEMA_VERSION,
        "experiment_hash": experiment.hash(),
        "catalog_hash": catalog.hash,
        "split_hash": split_hash(catalog),
        "seed": experiment.seed,
        "consumed": list(consumed(experiment)),
        "tta": deciding(experiment.evaluation.tta),
        "metrics": metrics,
        "convergence_epoch": convergence_epoch(history, metric, mode="min"),
        "convergence_rule": f"first epoch of the lowest {metric}",
        "epochs": len(history),
        "train_seconds": sum(row["seconds"] for row in history),
        "wall_seconds": seconds,
    }
