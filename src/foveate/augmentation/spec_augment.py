"""SpecAugment's bands: whole rows and columns hidden."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from foveate.augmentation.erasing import Erase, EraseConfig
from foveate.data.batch import Batch


class SpecAugment(Erase):
    """Bands of rows and of columns are hidden, as frequencies and times of a spectrogram are.

    The width of a band is uniform from 0 to its largest, its place uniform where it fits. Warping of time is left out:
    a picture has no time. Source: Park et al., SpecAugment, Interspeech 2019; widths for pictures are our choice.
    """

    class Config(EraseConfig):
        kind: Literal["spec_augment"] = "spec_augment"
        rows: int = Field(default=1, ge=0, le=64)
        """Horizontal bands ("frequencies")."""
        columns: int = Field(default=1, ge=0, le=64)
        """Vertical bands ("times")."""
        width: float = Field(default=0.3, ge=0, le=1)
        """Largest width of a band, as a share of the side (27 of 80 frequencies in the paper)."""

    def holes(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        lines = []
        for bands, side in (
            (self.config.rows, batch.images.shape[2]),
            (self.config.columns, batch.images.shape[3]),
        ):
            width = np.rint(rng.random((len(batch), bands, 1)) * self.config.width * side)
            start = np.floor(rng.random((len(batch), bands, 1)) * (side - width + 1))
            place = np.arange(side)
            hidden = ((place >= start) & (place < start + width)).any(axis=1)  # (B, side)
            lines.append(torch.from_numpy(hidden).to(batch.images.device))
        return (lines[0][:, :, None] | lines[1][:, None, :])[:, None]
