"""Batches of pictures -> batches of questions: training asks anew in every epoch, evaluation always alike."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from foveate.core.errors import DataError
from foveate.core.rng import numpy_generator
from foveate.data.batch import Batch
from foveate.data.cache import Pictures
from foveate.data.catalog import UNLABELLED, Catalog
from foveate.data.epoch_change import Change
from foveate.data.loader import Loader
from foveate.data.transforms import Transform
from foveate.pretext.task import Normal, Question, Task


@dataclass(frozen=True)
class Asker:
    """A task at work on the pictures of one catalog.

    Random choices are keyed by (seed, epoch, row, answer) in training and by the picture's path alone in
    evaluation: neither seed, batch nor order change what a network is asked there.
    """

    task: Task
    seed: int
    paths: tuple[str, ...]
    """(N,) of the catalog."""
    normal: Normal

    @property
    def pairs(self) -> bool:
        """Whether there are two views of each picture and no answers."""
        return self.task.pairs

    @property
    def copies(self) -> int:
        """Questions about one picture in one training epoch."""
        if self.pairs:
            return 2
        return len(self.task.classes) if self.task.every else 1

    def training(self, batch: Batch, epoch: int) -> Batch:
        """Every picture of a raw batch ``copies`` times: (B * copies) questions, those of one picture in a row."""
        questions = []
        for image, row in zip(batch.images, batch.index.tolist(), strict=True):
            wanted: Sequence[int] = range(self.copies)
            if not self.task.every and not self.pairs:
                drawn = numpy_generator(self.seed, "pretext answer", epoch, row)
                wanted = [int(drawn.integers(len(self.task.classes)))]
            for label in wanted:
                rng = numpy_generator(self.seed, "pretext", epoch, row, label)
                questions.append(self.task(image, label, rng, self.normal))
        return _asked(batch, questions, self.copies)

    def fixed(self, batch: Batch) -> Batch:
        """One question (or pair of views) about every picture of a raw batch, whose targets say what is wanted."""
        copies = 2 if self.pairs else 1
        questions = [
            self.task(image, label, numpy_generator("pretext", self.paths[row], *[copy] * copy), self.normal)
            for image, label, row in zip(
                batch.images, batch.targets.tolist(), batch.index.tolist(), strict=True
            )
            for copy in range(copies)
        ]
        return _asked(batch, questions, copies)


def _asked(batch: Batch, questions: Sequence[Question], copies: int) -> Batch:
    images = [image for image, _ in questions]
    if any(image.is_floating_point() for image in images):
        images = [image.float() for image in images]
    return replace(
        batch,
        images=torch.stack(images),
        targets=torch.tensor([answer for _, answer in questions], dtype=torch.int64),
        masks=batch.masks.repeat_interleave(copies, 0),
        has_mask=batch.has_mask.repeat_interleave(copies, 0),
        index=batch.index.repeat_interleave(copies, 0),
    )


class Questions:
    """A loader whose batches are asked by ``ask(batch, epoch)``; as long as the loader, resumable as it is."""

    def __init__(self, loader: Loader, ask: Callable[[Batch, int], Batch]) -> None:
        self.loader, self.ask = loader, ask

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """See ``Loader.epoch``."""
        for batch in self.loader.epoch(epoch, start):
            yield self.ask(batch, epoch)

    def changed(self, change: Change) -> "Questions":
        """See ``Loader.changed``."""
        return Questions(self.loader.changed(change), self.ask)


def question_catalog(catalog: Catalog, task: Task, pictures: Pictures, transform: Transform) -> Catalog:
    """The same pictures and splits with the task's classes, and as label the answer that evaluation asks for.

    Answers are dealt out evenly within each split, in an order that depends on the paths alone. A task whose answer
    lies in the picture (``own_labels``) is asked; where there are pairs there is none. Masks are left out: they do not
    move with the questions.

    Raises:
        DataError: all training pictures have one answer, so there is nothing to learn.
    """
    labels = np.full(len(catalog), UNLABELLED, dtype=np.int64)
    parts = [] if task.pairs else sorted({sample.split for sample in catalog.samples})
    for part in parts:
        rows = [i for i, sample in enumerate(catalog.samples) if sample.split == part]
        rows.sort(key=lambda i: catalog.samples[i].path)
        order = numpy_generator("pretext answers", part).permutation(len(rows))
        labels[np.array(rows, dtype=np.int64)[order]] = np.arange(len(rows)) % len(task.classes)
    if task.own_labels:
        normal = Normal(torch.zeros(3), torch.ones(3))
        for row, sample in enumerate(catalog.samples):
            image, _ = transform(pictures.read(row)[0], None, row)
            labels[row] = task(image, 0, numpy_generator("pretext", sample.path), normal)[1]
        found = np.unique(labels[[i for i, s in enumerate(catalog.samples) if s.split == "train"]])
        if len(found) < 2:
            answer = ", ".join(task.classes[i] for i in found)
            raise DataError(
                f"All training pictures in {catalog.root} have the same answer ({answer}), so this task has nothing "
                "to teach; choose another task."
            )
    samples = tuple(
        replace(sample, label=int(label), mask="")
        for sample, label in zip(catalog.samples, labels, strict=True)
    )
    return replace(catalog, classes=task.classes, samples=samples, class_ids=())
