"""What a phase is fed with: pictures through the network, or stored features when the backbone is frozen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from foveate.data.batch import Batch
from foveate.data.loader import Loader, epoch_batches

FEATURE_LIMIT = 2 * 2**30
"""Bytes of stored features above which a frozen backbone is run again every epoch."""


class Feed(Protocol):
    """An epoch of batches, resumable at any batch."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches of this epoch from batch ``start`` on."""
        ...


@dataclass(frozen=True)
class Feeds:
    """The pictures of one experiment, by split, and how they are transformed."""

    pictures: Any
    """foveate.data.cache.Pictures."""
    labels: np.ndarray
    """(N,) int64 over the catalog."""
    paths: tuple[str, ...]
    """(N,) for error messages."""
    rows: dict[str, np.ndarray]
    """{split: rows of the catalog}."""
    train_transform: Any
    eval_transform: Any
    random: bool
    """Whether ``train_transform`` draws anything, so that another epoch gives another view."""
    seed: int
    workers: int = 0
    sampling: str = "natural"
    rank: int = 0
    world: int = 1

    def train(self, batch_size: int, views: int | None = None) -> Loader:
        """Shuffled, augmented training pictures."""
        return Loader(
            self.pictures, self.labels, self.rows["train"], self.train_transform, batch_size, self.seed,
            shuffle=True, workers=self.workers, views=views, sampling=self.sampling, rank=self.rank, world=self.world,
        )  # fmt: skip

    def evaluation(self, split: str, batch_size: int) -> Loader:
        """A split in catalog order, not augmented."""
        return Loader(
            self.pictures, self.labels, self.rows[split], self.eval_transform, batch_size, self.seed,
            shuffle=False, workers=self.workers,
        )  # fmt: skip

    def stored(
        self, split: str, views: int, batch_size: int, extract: Callable[[Batch], torch.Tensor]
    ) -> "FeatureFeed":
        """Features of every picture of a split, ``views`` augmented views each (0 = not augmented)."""
        rows = self.rows[split]
        transform = self.train_transform if views else self.eval_transform
        stacks = []
        for view in range(max(views, 1)):
            loader = Loader(
                self.pictures, self.labels, rows, transform, batch_size, self.seed, shuffle=False, workers=self.workers
            )
            stacks.append(torch.cat([extract(batch) for batch in loader.epoch(view)]))
        shuffle = {"seed": self.seed, "sampling": self.sampling, "rank": self.rank, "world": self.world}
        return FeatureFeed(torch.stack(stacks), rows, self.labels, batch_size, shuffle if views else None)


class FeatureFeed:
    """Batches whose "images" are stored features (B, F), in the very order a Loader would give the pictures.

    Args:
        features: (V, n, F), V views of the n pictures in ``rows``.
        shuffle: keyword arguments of the order, or None for catalog order.
    """

    def __init__(
        self,
        features: torch.Tensor,
        rows: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        shuffle: dict[str, Any] | None,
    ) -> None:
        self.features, self.rows, self.labels = features, rows, labels
        self.batch_size, self.shuffle = batch_size, shuffle
        self._position = np.full(int(rows.max()) + 1, -1, dtype=np.int64)
        self._position[rows] = np.arange(len(rows))

    def _batches(self, epoch: int) -> list[np.ndarray]:
        if self.shuffle is None:
            return [self.rows[i : i + self.batch_size] for i in range(0, len(self.rows), self.batch_size)]
        return epoch_batches(self.rows, self.labels, self.batch_size, epoch=epoch, shuffle=True, **self.shuffle)

    def __len__(self) -> int:
        return len(self._batches(0))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """See Feed; the view is ``epoch`` modulo the number of views."""
        features = self.features[epoch % len(self.features)]
        for rows in self._batches(epoch)[start:]:
            index = torch.from_numpy(rows)
            yield Batch(
                images=features[torch.from_numpy(self._position[rows])],
                targets=torch.from_numpy(self.labels[rows]).to(features.device),
                masks=torch.zeros(len(rows), 1, 1, 1, device=features.device),
                has_mask=torch.zeros(len(rows), dtype=torch.bool, device=features.device),
                index=index,
            )
