"""RICAP: four pictures cropped and put together."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.mixing import Mix, MixConfig
from foveate.augmentation.pairs import partner_of, soft_targets
from foveate.data.batch import Batch


class Ricap(Mix):
    """Four pictures are cropped to the four parts around a random point; the label is mixed by area.

    The point is (W Beta(beta, beta), H Beta(beta, beta)), one a batch, each part from a permutation of its own.
    ``origin`` says which crop of a picture fills its part: "anywhere" is drawn (one place a batch and part, as in the
    authors' program), "centre" is the middle, "corner" the same corner of the picture as of the mosaic, so that the
    part is not moved at all.

    Source: Takahashi et al., Data augmentation using random image cropping and patching for deep CNNs, IEEE TCSVT 2020.
    The mask of the mosaic is known where the masks of all four pictures are.
    """

    class Config(MixConfig):
        kind: Literal["ricap"] = "ricap"
        beta: float = Field(default=0.3, gt=0)
        """Of the Beta distribution; small: one picture takes most of the mosaic."""
        origin: Literal["anywhere", "centre", "corner"] = "anywhere"
        """Which crop of a picture."""

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        targets = soft_targets(batch, self.classes)
        height, width = batch.images.shape[2:]
        y, x = (round(side * rng.beta(self.config.beta, self.config.beta)) for side in (height, width))
        images, masks = torch.empty_like(batch.images), torch.empty_like(batch.masks)
        mixed, known = torch.zeros_like(targets), torch.ones_like(batch.has_mask)
        for rows in (slice(0, y), slice(y, height)):
            for columns in (slice(0, x), slice(x, width)):
                partner = partner_of(batch, rng)
                crop = self._crop(rows, height, rng), self._crop(columns, width, rng)
                area = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
                images[:, :, rows, columns] = batch.images[:, :, *crop][partner]
                masks[:, :, rows, columns] = batch.masks[:, :, *crop][partner]
                mixed += area * targets[partner]
                known &= batch.has_mask[partner] | (area == 0)
        return batch.replace(images=images, masks=masks, targets=mixed, has_mask=known)

    def _crop(self, part: slice, side: int, rng: np.random.Generator) -> slice:
        length = part.stop - part.start
        free = side - length
        start = {"corner": part.start, "centre": free // 2, "anywhere": int(rng.integers(free + 1))}
        return slice(start[self.config.origin], start[self.config.origin] + length)
