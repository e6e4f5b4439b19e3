"""What a phase is fed with: pictures through the network, or stored features when the backbone is frozen."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

import numpy as np
import torch

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch, counted
from foveate.data.cache import Pictures
from foveate.data.epoch_change import Change
from foveate.data.loader import Loader, Sampling
from foveate.data.transforms import Transform
from foveate.pretext import Asker, Questions

FEATURE_LIMIT = 2 * 2**30
"""Bytes of stored features above which a frozen backbone is run again every epoch."""


class Feed(Protocol):
    """An epoch of batches, resumable at any batch."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches of this epoch from batch ``start`` on."""
        ...

    def changed(self, change: Change) -> "Feed":
        """The same feed, showing what ``change`` says.

        Raises:
            ConfigError: see ``Change.check``.
        """
        ...


@dataclass(frozen=True)
class Feeds:
    """The pictures of one experiment, by split, and how they are transformed."""

    pictures: Pictures
    labels: np.ndarray
    """(N,) int64 over the catalog."""
    paths: tuple[str, ...]
    """(N,) for error messages."""
    rows: dict[str, np.ndarray]
    """{split: rows of the catalog}."""
    train_transform: Transform
    seed: int
    workers: int = 0
    sampling: Sampling = "natural"
    pin: bool = False
    rank: int = 0
    world: int = 1
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """{attribute: (N,) values over the catalog}."""
    asker: Asker | None = None
    """A pretext task: what is fed are its questions about the pictures."""

    @property
    def labelled(self) -> bool:
        """Whether there are right answers, so that accuracies can be told."""
        return self.asker is None or not self.asker.pairs

    @property
    def validated(self) -> bool:
        """Whether there are validation pictures."""
        return bool(len(self.rows.get("val", ())))

    def attributes_of(self, split: str) -> dict[str, np.ndarray]:
        """{attribute: (n,) values of the split's pictures}, of those of which any is known."""
        rows = self.rows.get(split, np.zeros(0, np.int64))
        found = {name: np.array(values)[rows] for name, values in self.attributes.items()}
        return {name: values for name, values in found.items() if (values != "").any()}

    def train(self, batch_size: int, views: int | None = None) -> Feed:
        """Shuffled, augmented training pictures; with a task ``batch_size`` counts its questions."""
        if self.asker is None:
            return self._shuffled(batch_size, views)
        loader = self._shuffled(max(1, batch_size // self.asker.copies), views)
        return Questions(loader, self.asker.training)

    def sample(self, batch_size: int) -> Batch:
        """The first training batch of this size, made in this process: for finders and trials."""
        return next(iter(replace(self, workers=0).train(batch_size).epoch(0)))

    def plain(self, rows: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """Pictures of the catalog in this order, as evaluation sees them, made in this process."""
        return replace(self, workers=0)._in_order(rows, batch_size).epoch(0)

    def evaluation(self, split: str, batch_size: int) -> Feed:
        """A split in catalog order, not augmented."""
        loader, asker = self._in_order(self.rows[split], batch_size), self.asker
        return loader if asker is None else Questions(loader, lambda batch, epoch: asker.fixed(batch))

    def stored(
        self, split: str, views: int, batch_size: int, extract: Callable[[Batch], torch.Tensor],
        keep: Callable[[Callable[[], torch.Tensor]], torch.Tensor] = lambda compute: compute(),
        tell: Callable[[int, int], None] = lambda done, total: None,
    ) -> "FeatureFeed":  # fmt: skip
        """Features of every picture of a split, ``views`` augmented views each (0 = not augmented, in order).

        ``keep(compute)`` gives them, computed now or found where another run left them; ``tell(done, total)``
        counts the pictures.
        """

        def compute() -> torch.Tensor:
            source = self._in_order(self.rows[split], max(batch_size, 32), augmented=bool(views))
            shown, pictures = max(views, 1), len(source.rows)
            every = chain.from_iterable(source.epoch(view) for view in range(shown))
            features = torch.cat([extract(batch) for batch in counted(every, shown * pictures, tell)])
            source.close()
            return features.view(shown, pictures, -1)

        features = keep(compute)
        order = self._shuffled(batch_size) if views else self._in_order(self.rows[split], batch_size)
        return FeatureFeed(features, order)

    def _shuffled(self, batch_size: int, views: int | None = None) -> Loader:
        return Loader(
            self.pictures, self.labels, self.rows["train"], self.train_transform, batch_size, self.seed,
            shuffle=True, workers=self.workers, views=views, sampling=self.sampling, rank=self.rank, world=self.world,
            pin=self.pin,
        )  # fmt: skip

    def _in_order(self, rows: np.ndarray, batch_size: int, augmented: bool = False) -> Loader:
        transform = self.train_transform if augmented else self.train_transform.plain
        return Loader(
            self.pictures, self.labels, rows, transform, batch_size, self.seed,
            shuffle=False, workers=self.workers, pin=self.pin,
        )  # fmt: skip


class FeatureFeed:
    """Batches whose "images" are stored features (B, F), in the very order in which a loader gives the pictures.

    Args:
        features: (V, n, F), V views of the n pictures, in the order of ``order.rows``.
        order: the loader whose order is followed; its pictures are not read.
    """

    def __init__(self, features: torch.Tensor, order: Loader) -> None:
        self.features, self.order = features, order
        self._position = np.full(int(order.rows.max()) + 1, -1, dtype=np.int64)
        self._position[order.rows] = np.arange(len(order.rows))

    def changed(self, change: Change) -> "FeatureFeed":
        """See Feed; the pictures themselves cannot change."""
        if change.pictures or change.leaks:
            raise ConfigError("Stored features are those of the pictures as they are; no other can be shown.")
        other = copy.copy(self)
        other.order = self.order.changed(change)
        return other

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """See Feed; the view is ``epoch`` modulo the number of views."""
        features = self.features[epoch % len(self.features)]
        device = features.device
        for _, rows, _ in self.order.batches(epoch)[start:]:
            yield Batch(
                images=features[torch.from_numpy(self._position[rows]).to(device)],
                targets=torch.from_numpy(self.order.labels[rows]).to(device),
                masks=torch.zeros(len(rows), 1, 1, 1, device=device),
                has_mask=torch.zeros(len(rows), dtype=torch.bool, device=device),
                index=torch.from_numpy(rows.copy()),
            )
