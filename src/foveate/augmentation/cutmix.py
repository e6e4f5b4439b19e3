"""CutMix: a box of another picture in the same place, and the label mixed by area."""

import math
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.mixing import Mix, MixConfig
from foveate.augmentation.pairs import both_masks, mix_targets, partner_of, soft_targets
from foveate.data.batch import Batch


def draw_box(height: int, width: int, kept: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a box of area (1 - kept) H W and the picture's shape, its centre uniform, clipped."""
    ratio = math.sqrt(1 - kept)
    tall, wide = int(height * ratio), int(width * ratio)
    y, x = int(rng.integers(height)), int(rng.integers(width))
    top, left = max(0, y - tall // 2), max(0, x - wide // 2)
    return slice(top, min(height, y + tall // 2)), slice(left, min(width, x + wide // 2))


class CutMix(Mix):
    """A box of another picture in the same place, the label mixed by area.

    lambda ~ Beta(alpha, alpha) and one box a batch; label lambda own + (1 - lambda) partner's, lambda by area. In the
    paper p is 1 on ImageNet and 0.5 on CIFAR.

    Source: Yun et al., CutMix, ICCV 2019. Pictures and masks of the batch are changed in place. The mask of the
    mixture is known where both masks are.
    """

    class Config(MixConfig):
        kind: Literal["cutmix"] = "cutmix"
        alpha: float = Field(default=1.0, gt=0)
        """Of the Beta distribution; 1: every share of the area is equally likely."""

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        kept = float(rng.beta(self.config.alpha, self.config.alpha))
        partner = self.partner(batch, rng)
        height, width = batch.images.shape[2:]
        rows, columns = draw_box(height, width, kept, rng)
        # Indexing by the permutation copies, and only the box: the right side is whole before anything is written.
        batch.images[:, :, rows, columns] = batch.images[:, :, rows, columns][partner]
        batch.masks[:, :, rows, columns] = batch.masks[:, :, rows, columns][partner]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        share = batch.images.new_full((len(batch),), 1 - area / (height * width))
        targets = mix_targets(soft_targets(batch, self.classes), partner, share)
        return batch.replace(targets=targets, has_mask=both_masks(batch, partner))

    def partner(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        """(B,) int64: whose box each picture gets."""
        return partner_of(batch, rng)
