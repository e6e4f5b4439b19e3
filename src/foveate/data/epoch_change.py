"""What the coming epochs show in place of every training picture once: other pictures, other frequencies, an order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from foveate.core.errors import ConfigError
from foveate.data.cache import Item, Pictures


@dataclass(frozen=True)
class Change:
    """Stays in effect until another takes its place; ``Change()`` shows everything as usual again."""

    pictures: Mapping[int, torch.Tensor] = field(default_factory=dict)
    """{catalog row: (3, size, size) uint8}, ``size`` being the side of the pictures that are kept (``Pictures.size``).
    They are augmented as the originals are; label, mask and row stay the original's."""
    beside: bool = False
    """Whether ``pictures`` are shown besides their originals (the epoch grows) and not in their place."""
    weights: np.ndarray | None = None
    """(N,) how often each row of the catalog is drawn, in any unit; drawn with replacement, epochs stay as long."""
    order: np.ndarray | None = None
    """(m,) rows of the catalog in the very order in which they are shown; some may be missing, some come again."""
    leaks: bool = False
    """``order`` names validation pictures too, now or before: for controls that measure a leak, and nothing else."""
    restart: bool = False
    """When it comes into effect, training starts again from the first weights."""

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return bool(self.pictures) or self.weights is not None or self.order is not None

    def __reduce__(self) -> tuple[Any, ...]:
        # For other processes: pictures that are parts of one tensor would each take the whole of it along.
        return Change.from_tensors, (self.tensors(),)

    def words(self, rows: np.ndarray) -> str:
        """What it does to the training pictures ``rows`` (n,)."""
        parts = []
        if self.pictures:
            where = "beside their originals" if self.beside else "in place of their originals"
            parts.append(f"{len(self.pictures)} of {len(rows)} pictures are shown changed, {where}")
        if self.weights is not None:
            own = self.weights[rows]
            more, times = (own > own.min()).sum(), own.max() / own[own > 0].min()
            parts.append(
                f"{more} of {len(rows)} pictures are drawn more often, up to {times:.3g} times"
                if more
                else "every picture is drawn equally often, some twice and some not"
            )
        if self.order is not None:
            parts.append(f"{len(self.order)} pictures are shown in an order")
        if self.leaks:
            parts.append("LEAK: validation pictures are trained on, so no figure of theirs can be believed")
        if self.restart:
            parts.append("training starts again from the first weights")
        return "; ".join(parts) or "every picture once, as usual"

    def check(self, rows: np.ndarray, size: int) -> None:
        """Whether the training pictures ``rows`` (n,) of ``size`` pixels can be shown like this.

        Raises:
            ConfigError: foreign rows, shapes that do not fit, weights of which none is positive, contradictions.
        """
        known = set(rows.tolist())
        for row, image in self.pictures.items():
            if row not in known:
                raise ConfigError(f"A feedback shows another picture for row {row}, which is not trained on.")
            if image.dtype != torch.uint8 or tuple(image.shape) != (3, size, size):
                shape = "x".join(str(side) for side in image.shape)
                raise ConfigError(
                    f"A feedback's picture for row {row} is {shape} {image.dtype}; 3x{size}x{size} uint8 is wanted."
                )
        if self.order is not None:
            if self.beside or self.weights is not None:
                raise ConfigError(
                    "A feedback gives an order of pictures (as curriculum does), which already says what is shown; "
                    "leave out the feedback that weighs them (class_sampling, upweighting) or shows others beside them."
                )
            if not len(self.order) or not (self.leaks or known.issuperset(self.order.tolist())):
                raise ConfigError(
                    "A feedback's order of rows is empty or names rows that are not trained on."
                )
        if self.weights is not None:
            chosen = self.weights[rows]
            if not np.isfinite(chosen).all() or (chosen < 0).any() or not chosen.sum() > 0:
                raise ConfigError("A feedback's weights of rows must be 0 or more, finite, and not all 0.")

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a checkpoint; ``from_tensors`` takes them back."""
        found = {name: torch.tensor(getattr(self, name)) for name in ("beside", "leaks", "restart")}
        if self.pictures:
            found["rows"] = torch.tensor(list(self.pictures), dtype=torch.int64)
            found["pictures"] = torch.stack(list(self.pictures.values()))
        if self.weights is not None:
            found["weights"] = torch.from_numpy(np.array(self.weights, np.float64))
        if self.order is not None:
            found["order"] = torch.from_numpy(np.array(self.order, np.int64))
        return found

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> "Change":
        """The change that gave these ``tensors``."""
        return cls(
            pictures=dict(zip(tensors["rows"].tolist(), tensors["pictures"], strict=True))
            if "rows" in tensors
            else {},
            beside=bool(tensors["beside"]),
            weights=tensors["weights"].numpy() if "weights" in tensors else None,
            order=tensors["order"].numpy() if "order" in tensors else None,
            leaks=bool(tensors.get("leaks", False)),
            restart=bool(tensors.get("restart", False)),
        )


def combine(changes: Sequence[Change]) -> Change:
    """Several changes at once: pictures united (the last wins), weights multiplied, one order.

    Raises:
        ConfigError: two orders, or pictures both beside and in place.
    """
    orders = [change.order for change in changes if change.order is not None]
    sides = {change.beside for change in changes if change.pictures}
    if len(orders) > 1 or len(sides) > 1:
        what = "give an order of rows" if len(orders) > 1 else "disagree on pictures beside or in place"
        raise ConfigError(f"Two feedbacks {what}; leave one of them out.")
    weights = [change.weights for change in changes if change.weights is not None]
    return Change(
        pictures={row: image for change in changes for row, image in change.pictures.items()},
        beside=True in sides,
        weights=np.prod(weights, axis=0) if weights else None,
        order=orders[0] if orders else None,
        leaks=any(change.leaks for change in changes),
    )


class ChangedPictures(Pictures):
    """Pictures of which some are others; rows from ``len(pictures)`` on are those shown beside.

    Attributes:
        origin: (M,) catalog row that each row stands for.
    """

    def __init__(self, pictures: Pictures, change: Change) -> None:
        self._pictures = pictures
        self.size, self.has_masks = pictures.size, pictures.has_masks
        rows = np.array(list(change.pictures), dtype=np.int64)
        everything = np.arange(len(pictures))
        self.origin = np.concatenate([everything, rows]) if change.beside else everything
        places = len(pictures) + np.arange(len(rows)) if change.beside else rows
        self._others = dict(zip(places.tolist(), change.pictures.values(), strict=True))

    def __len__(self) -> int:
        return len(self.origin)

    def name(self, row: int) -> str:
        """The file of the original."""
        return self._pictures.name(int(self.origin[row]))

    def read(self, row: int) -> Item:
        """See ``Pictures.read``."""
        image, mask, has_mask = self._pictures.read(int(self.origin[row]))
        return self._others.get(row, image), mask, has_mask
