"""Foveate's training of a folder, as ``foveate train`` runs it, ready to be timed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from benchmarks.photos import Photos
from foveate.core.config import parse
from foveate.data.cache import CacheConfig, open_pictures
from foveate.data.loader import resolve_workers
from foveate.data.transforms import AugmentationConfig, build_transform
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig
from foveate.objectives import Context, Objective, default_objective
from foveate.training import Decisions, Feeds, Job, Observer, TrainingConfig

LR = 1e-3


def build_job(
    photos: Photos,
    count: int,
    network: str,
    size: int,
    phase: dict[str, Any],
    *,
    cache: Path,
    folder: Path | None = None,
    preset: str = "standard",
    batch_size: int = 32,
    observer: Observer | None = None,
    decisions: Decisions | None = None,
) -> Job:
    """One phase over ``count`` training pictures, without validation."""
    catalog = photos.catalog(count)
    config = parse(
        TrainingConfig,
        {
            "phases": [{"lr": LR, "restore_best": None, **phase}],
            "batch_size": batch_size,
            "device": "cpu",
        },
        source="the benchmark",
    )
    model = build_network(
        ModelConfig(backbone=network, weights="none"), classes=len(catalog.classes), size=size, seed=0
    )
    augment = AugmentationConfig(preset=preset)
    workers, _ = resolve_workers(config.loader, cached=True, device_type="cpu")
    feeds = Feeds(
        pictures=open_pictures(catalog, size, config=CacheConfig(folder=cache)),
        labels=catalog.labels,
        paths=tuple(sample.path for sample in catalog.samples),
        rows={"train": catalog.indices("train")},
        train_transform=build_transform(augment, size),
        seed=0,
        workers=workers,
    )
    return Job(
        model=model,
        feeds=feeds,
        objective=Objective(
            default_objective(), Context(catalog.classes, catalog.counts().tolist(), model.head)
        ),
        config=config,
        accelerator=Accelerator(cpu=True),
        seed=0,
        batch_size=batch_size,
        folder=folder,
        observer=observer or Observer(),
        decisions=decisions or Decisions(),
    )


class Rounds(Observer):
    """Times every epoch and lets others do theirs between two of them: A B C A B C ..."""

    def __init__(self, others: dict[str, Callable[[], object]] | None = None) -> None:
        self.others = others or {}
        self.seconds: dict[str, list[float]] = {"foveate": [], **{name: [] for name in self.others}}
        self.planning = 0.0
        """Seconds before the first epoch: decisions, stored features."""
        self._mark = time.perf_counter()

    def start(self) -> None:
        """From here on, until the first epoch, everything is planning."""
        self._mark = time.perf_counter()

    def phase(self, name: str, epochs: int, steps: int) -> None:
        """Everything before the first step is over."""
        self.planning = time.perf_counter() - self._mark
        self._mark = time.perf_counter()

    def epoch(self, row: dict[str, Any]) -> None:
        """The others' turn."""
        self.seconds["foveate"].append(time.perf_counter() - self._mark)
        for name, other in self.others.items():
            started = time.perf_counter()
            other()
            self.seconds[name].append(time.perf_counter() - started)
        self._mark = time.perf_counter()
