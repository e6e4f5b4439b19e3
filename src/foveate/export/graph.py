"""The graph that is exported: bytes of pictures come in, logits, class maps and features go out."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from foveate.core.errors import DataError, RunError
from foveate.core.version import VERSION
from foveate.data.square import at_side, resampling
from foveate.evaluation.subject import Subject
from foveate.evaluation.tta import parse_tta, views
from foveate.experiment.run import Run
from foveate.experiment.subjects import subject_of_run
from foveate.export.card import OUTPUTS, Answers, ExportCard
from foveate.models.heads import LinearHead


class Graph(nn.Module):
    """A run's network with all that is done to bytes before it, test-time views included.

    Where the head is one linear layer on the mean of the last feature map, the class map is that layer applied to each
    place (Zhou et al., Learning deep features for discriminative localization, CVPR 2016).
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.model, self.tta, self.size = subject.model.cpu().float().eval(), subject.tta, subject.size
        self.resample = resampling(subject.fit)
        self.plain = len(parse_tta(self.tta).views) == 1
        self.register_buffer("scale", (1 / (255 * self.model.std)).view(1, 3, 1, 1))
        self.register_buffer("shift", (-self.model.mean / self.model.std).view(1, 3, 1, 1))
        self.linear = self._is_linear()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what ``forward`` gives."""
        given = {"logits": True, "class_map": self.linear, "features": self.model.stores_features}
        return tuple(name for name in OUTPUTS if given[name])

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, 3, H, W) uint8 -> ``outputs``."""
        prepared = images.float() * self.scale + self.shift
        shown = list(views(self.tta, prepared, self.size, self.resample))
        found = self._of_view(shown[0])
        if not self.plain:
            others = [self.model(view).logits for view in shown[1:]]
            logs = torch.stack([logits.log_softmax(1) for logits in (found["logits"], *others)])
            found["logits"] = logs.logsumexp(0) - np.log(len(logs))
        return tuple(found[name] for name in self.outputs)

    def _of_view(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.linear:
            maps = self.model.last_map(images)
            features, weights = maps.mean((2, 3)), self.model.head.classifier.weight
            of_classes = torch.nn.functional.conv2d(maps, weights[:, :, None, None])
            return {"logits": self.model.head(features), "class_map": of_classes, "features": features}
        if self.model.stores_features:
            features = self.model.features(images)
            return {"logits": self.model.head(features), "features": features}
        return {"logits": self.model(images).logits}

    @torch.no_grad()
    def _is_linear(self) -> bool:
        """Whether the logits are one linear layer on the mean of the last map: asked of the network itself."""
        if not self.model.stores_features or type(self.model.head) is not LinearHead:
            return False
        noise = torch.rand(2, 3, self.size, self.size, generator=torch.Generator().manual_seed(0))
        features, maps = self.model.features(noise), self.model.last_map(noise)
        mean = maps.mean((2, 3))
        return mean.shape == features.shape and torch.allclose(mean, features, rtol=1e-3, atol=1e-5)


def subject_for_export(run: Run) -> Subject:
    """The run's network and its own pictures, as it was measured.

    Raises:
        RunError: a pretext run, whose answers are not classes of pictures.
    """
    if run.experiment.task is not None:
        raise RunError(
            f"{run.folder} is a pretext run: its network answers questions about pictures and has no classes of "
            "pictures to export. Export a run that was trained from it (foveate train --from)."
        )
    return subject_of_run(run, run.catalog, "cpu", asker=None)


def answers_of(run: Run) -> Answers | None:
    """When the network is sure, by the run's validation pictures; None where they do not tell."""
    try:
        return Answers(**vars(run.answer_rule()))
    except DataError:
        return None


def card_of(subject: Subject, graph: Graph | None, answers: Answers | None = None) -> ExportCard:
    """The card without its parity; without a graph, of a network that stays."""
    model, catalog = subject.model, subject.catalog
    kept = subject.cache.size
    return ExportCard(
        architecture=model.card.architecture,
        network=model.card.network["kind"],
        class_names=catalog.classes,
        class_ids=catalog.class_ids,
        size=subject.side,
        fit=at_side(subject.fit, subject.size, subject.side),
        kept=None if kept in (None, subject.side) else kept,
        tta=subject.tta if isinstance(subject.tta, str) else subject.tta.kind,
        outputs=graph.outputs if graph else (),
        answers=answers,
        version=VERSION,
    )


def tried_rows(subject: Subject, limit: int) -> np.ndarray:
    """Catalog rows that the export is tried on: of test, validation and training pictures, the first split that has
    any, spread evenly."""
    splits: Iterator[np.ndarray] = (
        subject.catalog.indices(split, labelled=False) for split in ("test", "val", "train")
    )
    rows = next(rows for rows in splits if len(rows))
    return rows if len(rows) <= limit else rows[np.linspace(0, len(rows) - 1, limit).round().astype(int)]
