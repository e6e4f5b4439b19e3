"""Small changes of the pixels that are made against the network: how often is it still right?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from foveate.core import config
from foveate.core.rng import numpy_generator
from foveate.data.batch import Batch, normalised
from foveate.evaluation.attributes import accuracy_of
from foveate.evaluation.evaluators.evaluator import Evaluator
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.subject import Subject
from foveate.models.modes import evaluating

SEED = 0
"""Of the random starts; never the experiment's, so that all runs are attacked alike."""


class Attacks(Evaluator):
    """Accuracy when every pixel may change by so many of its 255 levels against the label, in one step and in several.

    ``fgsm``: x + e sign(dL/dx). ``pgd``: from a random point of the cube of side 2 e around the picture ``steps`` such
    steps of 2.5 e / ``steps``, each put back into the cube and into [0, 255]. L is the cross-entropy of the true class;
    the network is asked about the picture alone, without test-time augmentation. A low figure is usual for any network
    that was not trained against attacks: compare arms, and strengths.

    Sources: Goodfellow et al., Explaining and harnessing adversarial examples, ICLR 2015; Madry et al., Towards deep
    learning models resistant to adversarial attacks, ICLR 2018.
    """

    class Config(config.Config):
        kind: Literal["attacks"] = "attacks"
        strengths: tuple[float, ...] = Field(default=(1.0, 4.0), min_length=1)
        """e in levels of 255."""
        steps: int = Field(default=10, ge=1, le=1000)
        """Of pgd; fgsm has one."""

    def __init__(self, config: Config, subject: Subject) -> None:
        super().__init__(config, subject)
        self.hits: dict[str, list[np.ndarray]] = {}
        self.rows: list[np.ndarray] = []

    def wants(self, rows: np.ndarray) -> bool:
        return True

    def see(self, batch: Batch) -> None:
        known = batch.targets >= 0
        if not known.any():
            return
        self.rows.append(batch.index[known].numpy())
        images, targets = batch.images[known].float(), batch.targets[known]
        for strength in self.config.strengths:
            # Drawn for each picture, so that batches change nothing.
            start = [
                numpy_generator(SEED, "pgd", int(row)).uniform(-strength, strength, images.shape[1:])
                for row in self.rows[-1]
            ]
            cube, steps = torch.from_numpy(np.stack(start)).float(), self.config.steps
            tried = {"fgsm": (images, 1, strength), "pgd": (images + cube, steps, 2.5 * strength / steps)}
            for name, (begin, count, size) in tried.items():
                changed = self._attacked(images, begin, targets, strength, count, size)
                hit = self._logits(changed).argmax(dim=1).cpu() == targets
                self.hits.setdefault(f"{name}_{strength:g}", []).append(hit.numpy())

    def run(self, table: PredictionTable, folder: Path | None) -> Iterator[tuple[str, Any]]:
        """{attack: accuracy with its 95 % Wilson interval, correct, n} of each split that is predicted."""
        if not self.rows:
            return
        split_of = np.array([sample.split for sample in self.subject.catalog.samples])[
            np.concatenate(self.rows)
        ]
        for split in np.unique(split_of):
            hits = {name: np.concatenate(parts)[split_of == split] for name, parts in self.hits.items()}
            yield f"{split}.attacks", {name: accuracy_of(correct) for name, correct in hits.items()}

    def _attacked(
        self, images: torch.Tensor, begin: torch.Tensor, targets: torch.Tensor, strength: float, steps: int, size: float
    ) -> torch.Tensor:  # fmt: skip
        changed = begin.clamp(0, 255)
        for _ in range(steps):
            asked = changed.detach().requires_grad_(True)
            loss = functional.cross_entropy(
                self._logits(asked), targets.to(self.subject.device), reduction="sum"
            )
            (gradient,) = torch.autograd.grad(loss, asked)
            changed = changed + size * gradient.sign()
            changed = images + (changed - images).clamp(-strength, strength)
            changed = changed.clamp(0, 255)
        return changed.detach()

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C) float32 of pictures (B, 3, H, W) in [0, 255]."""
        model = self.subject.model
        with evaluating(model):
            shown = normalised(images, self.subject.device, model.mean, model.std)
            logits: torch.Tensor = model(shown).logits
        return logits.float()
