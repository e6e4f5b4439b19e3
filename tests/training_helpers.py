"""What the training tests share: a small experiment and a run of it in a process of its own."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from foveate.core.config import parse
from foveate.data.transforms import AugmentationConfig, build_transform
from foveate.experiment import Experiment, run
from foveate.experiment.specification import merge
from foveate.models.build import build_network
from foveate.models.heads import LinearHead
from foveate.models.settings import ModelConfig
from foveate.objectives import Context, Objective, default_objective
from foveate.training import Decisions, Feeds, Job, Observer, TrainingConfig

PHASES: list[dict[str, Any]] = [
    {"name": "head", "epochs": 3, "trainable": "head", "lr": 0.01, "views": 2},
    {
        "name": "all",
        "epochs": 3,
        "lr": 0.003,
        "schedule": {"kind": "one_cycle"},
        "lr_factors": {"backbone": 0.3},
    },
]

BASE: dict[str, Any] = {
    "data": {"size": 32, "augment": {"preset": "standard"}},
    "model": {"backbone": "foveate_small_cnn", "weights": "none", "head": {"kind": "deep", "widths": [16]}},
    "training": {
        "phases": PHASES,
        "batch_size": 8,
        "precision": "fp32_channels_last",
        "checkpoint_seconds": 0.0,
        "device": "cpu",
        "loader": {"workers": 0},
    },
    "seed": 3,
}


def experiment(**changes: Any) -> Experiment:
    """The small experiment with some fields changed."""
    return Experiment.from_dict(merge(BASE, changes))


class Killer(Observer):
    """Kills its own process after ``step`` steps of phase ``phase`` (both from 0), with ``number``."""

    def __init__(self, phase: int, step: int, number: int = signal.SIGKILL) -> None:
        self.left, self.steps, self.number = phase, step, number

    def phase(self, name: str, epochs: int, steps: int) -> None:
        self.left -= 1

    def step(self, done: int, total: int, pictures: int) -> None:
        if self.left < 0:
            if self.steps == 0:
                os.kill(os.getpid(), self.number)
            self.steps -= 1


def _child(values: dict[str, Any], data: Path, out: Path, killer: Killer | None) -> None:
    torch.set_num_threads(1)
    run(Experiment.from_dict(values), data, out, observer=killer)


def in_child(
    values: dict[str, Any], data: Path, out: Path, killer: Killer | None = None, target: Any = _child
) -> Any:
    """Start the run in a fresh process forked from a server that has torch loaded; returns the process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["foveate.experiment", "foveate.reporting.report"])
    process = context.Process(target=target, args=(values, data, out, killer))
    process.start()
    return process


class InMemory:
    """Pictures and masks of which every one is known; see data.cache.Pictures."""

    images: torch.Tensor
    masks: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)

    def name(self, row: int) -> str:
        return f"picture {row}"

    def read(self, row: int) -> tuple[torch.Tensor, torch.Tensor, bool]:
        return self.images[row], self.masks[row], True

    def read_many(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        index = torch.from_numpy(np.asarray(rows))
        return self.images[index], self.masks[index], torch.ones(len(index), dtype=torch.bool)


class Drawn(InMemory):
    """Pictures in memory: a bright square whose colour is the class, on noise."""

    has_masks = True

    def __init__(self, labels: np.ndarray, size: int = 16) -> None:
        rng = np.random.default_rng(11)
        colours = np.array([[230, 40, 40], [40, 230, 40], [40, 40, 230]])
        images = rng.integers(60, 160, size=(len(labels), 3, size, size))
        masks = np.zeros((len(labels), 1, size, size))
        for row, label in enumerate(labels):
            y, x = rng.integers(1, size // 2, size=2)
            images[row, :, y : y + 6, x : x + 6] = colours[label][:, None, None]
            masks[row, :, y : y + 6, x : x + 6] = 255
        self.size = size
        self.images, self.masks = (torch.from_numpy(array.astype(np.uint8)) for array in (images, masks))


def toy_job(
    *,
    augment: str = "basic",
    dropout: float = 0.0,
    labels: np.ndarray | None = None,
    val: int = 16,
    sampling: Any = "natural",
    transforms: tuple[Any, ...] = (),
    feedbacks: tuple[Any, ...] = (),
    objective: dict[str, Any] | None = None,
    observer: Observer | None = None,
    folder: Path | None = None,
    **training: Any,
) -> Job:
    """A job over 48 pictures in memory (the last ``val`` validate) and a network of two stages, on the CPU."""
    labels = np.arange(48) % 3 if labels is None else labels
    pictures = Drawn(labels)
    settings = {"precision": "fp32", "batch_size": 8, "device": "cpu", **training}
    config = parse(TrainingConfig, settings, source="the test")
    model = build_network(
        ModelConfig(
            backbone="foveate_small_cnn", weights="none", backbone_kwargs={"widths": (8, 12), "strides": (2, 2)},
            head=LinearHead.Config(dropout=dropout),
        ), classes=3, size=16, seed=0,
    )  # fmt: skip
    cut = len(labels) - val
    feeds = Feeds(
        pictures=pictures, labels=labels.astype(np.int64), paths=tuple(f"picture {i}" for i in range(len(labels))),
        rows={"train": np.arange(cut), "val": np.arange(cut, len(labels))},
        train_transform=build_transform(AugmentationConfig(preset=augment), 16),
        seed=5, sampling=sampling,
    )  # fmt: skip
    classes = ("a", "b", "c")
    terms = objective or default_objective()
    return Job(
        model=model, feeds=feeds, objective=Objective(terms, Context(classes, [1, 1, 1], model.head)), config=config,
        accelerator=Accelerator(cpu=True), seed=5, batch_size=config.batch_size if config.batch_size != "auto" else 0,
        folder=folder, transforms=transforms, feedbacks=feedbacks, observer=observer or Observer(),
        decisions=Decisions(folder),
    )  # fmt: skip


def phase(**settings: Any) -> dict[str, Any]:
    """One phase's settings: short, without going back to the best epoch."""
    return {"name": "p", "epochs": 2, "lr": 0.01, "restore_best": None, **settings}


class Stop(Observer):
    """Breaks off after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, done: int, total: int, pictures: int) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Heard(Observer):
    """Remembers messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def weights_of(job: Job) -> dict[str, torch.Tensor]:
    """A copy of the network's parameters and buffers."""
    return {name: value.detach().clone() for name, value in job.model.state_dict().items()}
