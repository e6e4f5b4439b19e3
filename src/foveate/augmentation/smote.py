"""SMOTE inside the network: pictures of rare classes become points between neighbours."""

from functools import partial
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.chance import chosen, uniform
from foveate.augmentation.mixing import Counts
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class Smote:
    """The feature map of a picture of a rare class moves towards that of one of its neighbours of the same class.

    x' = x + u (neighbour - x), u ~ U(0, 1), the neighbour one of the ``neighbours`` nearest of the class in the batch
    by the mean over places; the label stays. What follows the layer linearly, as pooling does, interpolates alike.
    ``class_sampling`` shows rare classes more often; this makes each time another point. A picture alone of its class
    in the batch stays. The mask of a moved picture is not known.

    Source: Chawla et al., SMOTE, JAIR 2002, there on the features of a table.
    """

    class Config(Settings):
        kind: Literal["smote"] = "smote"
        p: float = Field(default=0.5, ge=0, le=1)
        """Probability for each picture of a rare class; our choice."""
        layer: str = "late"
        """Where, as in ``foveate.models.taps``."""
        neighbours: int = Field(default=5, ge=1, le=1000)
        """How many neighbours one is drawn of."""
        rare: float = Field(default=0.5, ge=0, le=1)
        """A class is rare with fewer than this share of the largest class's training pictures; our choice."""

    def __init__(self, config: Config, counts: Counts) -> None:
        self.config = config
        self.rare = torch.tensor([count < config.rare * max(counts) for count in counts], dtype=torch.bool)

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        labels, count = batch.labels, len(batch)
        some = chosen(rng, self.config.p, count, batch.images).flatten()
        some &= self.rare.to(labels.device)[labels] & (labels >= 0)
        rank, step = (uniform(rng, (0, 1), count, batch.images) for _ in range(2))
        same = labels[:, None] == labels
        moves = some & (same.sum(dim=1) > 1)
        if not bool(moves.any()):
            return batch
        edit = partial(
            between_neighbours, same=same, moves=moves, rank=rank, step=step, most=self.config.neighbours
        )
        return batch.replace(edits={**batch.edits, self.config.layer: edit}, has_mask=batch.has_mask & ~moves)


def between_neighbours(
    maps: torch.Tensor,
    same: torch.Tensor,
    moves: torch.Tensor,
    rank: torch.Tensor,
    step: torch.Tensor,
    most: int,
) -> torch.Tensor:
    """(B, K, h, w) of which rows ``moves`` (B,) have gone ``step`` (B,) of the way to a neighbour: of the ``most``
    nearest among ``same`` (B, B) the one of ``rank`` (B,) in [0, 1)."""
    points = maps.detach().float().mean(dim=(2, 3))
    away = ~same | torch.eye(len(maps), dtype=torch.bool, device=maps.device)
    order = torch.cdist(points, points).masked_fill(away, torch.inf).argsort(dim=1, stable=True)
    available = (~away).sum(dim=1).clamp(max=most)
    place = (rank * available).long()
    neighbour = order.gather(1, place[:, None])[:, 0]
    share = (step * moves).to(maps)[:, None, None, None]
    return maps.lerp(maps[neighbour], share)
