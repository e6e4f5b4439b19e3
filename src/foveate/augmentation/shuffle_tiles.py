"""Tiles of a picture change places."""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.chance import chosen
from foveate.augmentation.pairs import Counts
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class ShuffleTiles:
    """A picture cut into n x n tiles, which are put back in random order; what is learned from are parts, not shapes.

    The jigsaw of progressive multi-granularity training (Du et al., ECCV 2020), which draws one order for a batch; here
    each picture has its own. Labels stay, masks go along. What is left of a side that n does not divide stays in place.
    """

    class Config(Settings):
        kind: Literal["shuffle_tiles"] = "shuffle_tiles"
        p: float = Field(default=0.5, ge=0, le=1)
        """Probability for each picture."""
        grids: Annotated[tuple[Annotated[int, Field(ge=2, le=64)], ...], Field(min_length=1)] = (2, 4, 8)
        """n; one of these is drawn for each batch."""

    def __init__(self, config: Config, counts: Counts) -> None:
        self.config = config

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        rows = chosen(rng, self.config.p, len(batch), batch.images).flatten().nonzero()[:, 0]
        n = min(int(rng.choice(self.config.grids)), *batch.images.shape[2:])
        order = rng.permuted(np.tile(np.arange(n * n), (len(batch), 1)), axis=1)
        index = torch.from_numpy(order).to(rows.device)[rows]
        for values in (batch.images, batch.masks):
            values[rows] = shuffled(values[rows], index, n)
        return batch


def shuffled(values: torch.Tensor, order: torch.Tensor, n: int) -> torch.Tensor:
    """(B, K, H, W), (B, n n) -> (B, K, H, W): place k holds the tile that was at ``order[:, k]``."""
    count, channels, height, width = values.shape
    rows, columns = height // n, width // n
    whole = values[:, :, : rows * n, : columns * n].reshape(count, channels, n, rows, n, columns)
    tiles = whole.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, n n, K, rows, columns)
    moved = tiles[torch.arange(count, device=values.device)[:, None], order].unflatten(1, (n, n))
    result = values.clone()
    result[:, :, : rows * n, : columns * n] = moved.permute(0, 3, 1, 4, 2, 5).reshape(
        count, channels, rows * n, columns * n
    )
    return result
