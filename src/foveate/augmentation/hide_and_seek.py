"""Hide-and-Seek: cells of a grid hidden at random."""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from foveate.augmentation.erasing import Erase, EraseConfig
from foveate.data.batch import Batch


class HideAndSeek(Erase):
    """Each cell of a grid is hidden with a probability of its own; the size of the cells is drawn for every picture.

    What is hidden shows the mean colour, so that the mean of the pictures stays. Source: Singh et al., Hide-and-Seek,
    2018 (arXiv 1811.02545): cells of 0 (nothing is hidden), 16, 32, 44 or 56 pixels of 224.
    """

    class Config(EraseConfig):
        kind: Literal["hide_and_seek"] = "hide_and_seek"
        cells: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
            default=(0.0, 1 / 14, 1 / 7, 11 / 56, 0.25), min_length=1, max_length=64
        )
        """Sides of the cells, as shares of the picture's shorter side, all equally likely; 0 hides nothing."""
        hidden: float = Field(default=0.5, ge=0, le=1)
        """Probability for each cell."""

    def holes(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        height, width = batch.images.shape[2:]
        device = batch.images.device
        sides = np.rint(rng.choice(self.config.cells, len(batch)) * min(height, width)).astype(np.int64)
        most = max(height, width)
        side = torch.from_numpy(np.where(sides > 0, sides, most)).to(device)[:, None]
        count = -(-most // int(side.min()))
        hidden = rng.random((len(batch), count, count)) < self.config.hidden
        hidden &= (sides > 0)[:, None, None]
        rows, columns = (
            torch.arange(end, device=device) // side for end in (height, width)
        )  # (B, H), (B, W)
        picture = torch.arange(len(batch), device=device)[:, None, None]
        return torch.from_numpy(hidden).to(device)[picture, rows[:, :, None], columns[:, None, :]][:, None]
