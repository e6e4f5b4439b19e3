"""Subject: a trained network and the pictures that it is measured on."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from foveate.data.batch import Batch, counted
from foveate.data.cache import Pictures, Progress, open_pictures
from foveate.data.cache_config import CacheConfig
from foveate.data.catalog import Catalog
from foveate.data.loader import in_order
from foveate.data.square import Fit, at_side, resampling
from foveate.evaluation.tta import parse_tta, views
from foveate.models.folded import folded_once
from foveate.models.in_parts import in_parts
from foveate.models.modes import evaluating
from foveate.pretext import Asker

BATCH = 32
"""Pictures a batch in prediction; fixed, so that figures do not depend on the training's batch size."""


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def pick_device(name: str) -> torch.device:
    """ "auto" is the accelerator if there is one."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def judged_split(catalog: Catalog) -> str:
    """The split that a run is judged on: the test, or the validation pictures where there is none."""
    return "test" if len(catalog.indices("test")) else "val"


@dataclass(frozen=True)
class Subject:
    """What evaluators are given."""

    model: Any
    """On ``device``."""
    catalog: Catalog
    device: torch.device
    size: int
    """Side in px of the picture that the network sees."""
    fit: Fit = "squash"
    cache: CacheConfig = field(default_factory=lambda: CacheConfig(enabled=False))
    batch_size: int = BATCH
    tta: Any = "none"
    """As ``parse_tta`` takes it."""
    workers: int = 0
    own: Catalog | None = None
    """The same rows with the pictures' own classes, where ``catalog`` has the questions of a pretext task."""
    asker: Asker | None = None
    """What asks these questions."""
    progress: Progress = quiet
    """Called with (what, pictures done, of how many) for each pass over the pictures."""
    _latest: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)
    """[batch, its features on the device]: who asks for features and then for answers waits for one pass."""

    @cached_property
    def answering(self) -> Any:
        """The network for passes without gradients, faster (see ``models.folded``)."""
        return folded_once(self.model, self.size)

    @property
    def side(self) -> int:
        """Side in px of the pictures that are predicted: that of the test-time augmentation, or the network's."""
        return parse_tta(self.tta).side or self.size

    def pictures(self, side: int) -> Pictures:
        """All of the catalog, under whose key training has cached them."""
        return open_pictures(self.catalog, side, at_side(self.fit, self.size, side), self.cache)

    def batches(
        self, rows: np.ndarray, what: str, *, side: int | None = None, pictures: Pictures | None = None
    ) -> Iterator[Batch]:  # fmt: skip
        """Batches (bytes) of these rows, in their order, as they are or at another side."""
        side = side or self.size
        loader = in_order(
            pictures or self.pictures(side), self.catalog.labels, rows, side, self.batch_size, self.workers
        )  # fmt: skip
        return counted(loader.epoch(0), len(rows), partial(self.progress, what))

    def shown(self, batch: Batch) -> Batch:
        """What the network is asked: the pictures; in a pretext run its questions (pairs of views: the pictures)."""
        return batch if self.asker is None or self.asker.pairs else self.asker.fixed(batch)

    def features(self, batch: Batch) -> torch.Tensor:
        """What the network's head receives of the pictures, (B, F) float32 on the CPU."""
        with evaluating(self.answering), torch.no_grad():
            images = batch.prepare(self.device, self.model.mean, self.model.std, torch.channels_last).images
            found = self._asked(self.answering.features, images)
            self._latest[:] = [batch, found]
            return found.float().cpu()

    def predict(self, batches: Iterable[Batch]) -> tuple[np.ndarray, np.ndarray]:
        """Of N pictures, each predicted once, in the order of ``batches`` (bytes, of the side ``side``): row in the
        catalog (N,) int64, log-probabilities (N, C) float64; with test-time augmentation the logarithm of the mean
        probability."""
        index: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
        logs: list[np.ndarray] = []
        # Not inference_mode: what a network caches in it could not be used in a backward pass afterwards.
        with evaluating(self.answering), torch.no_grad():
            for batch in batches:
                # Moved before it is widened: not every device has float64.
                found = [logits.float().cpu().double().log_softmax(1) for logits in self._logits(batch)]
                # log(mean(exp)) without leaving the log domain, so that tiny probabilities survive.
                logs.append((torch.stack(found).logsumexp(0) - np.log(len(found))).numpy())
                index.append(batch.index.cpu().numpy())
        return np.concatenate(index), np.concatenate(logs) if logs else np.zeros((0, 0))

    def _logits(self, batch: Batch) -> Iterator[torch.Tensor]:
        """(B, C) of each view."""
        model = self.answering
        plain = self.side == self.size and len(parse_tta(self.tta).views) == 1
        if plain and self._latest and self._latest[0] is batch and getattr(model, "stores_features", False):
            yield model.head(self._latest[1])
            return
        images = batch.prepare(self.device, model.mean, model.std, torch.channels_last).images
        for view in views(self.tta, images, self.size, resampling(self.fit)):
            yield self._asked(lambda pictures: model(pictures).logits, view)

    def _asked(self, ask: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        # Other networks hang hooks into their backbone while they answer.
        return in_parts(ask, images) if getattr(self.answering, "stores_features", False) else ask(images)
