"""Rectangles of other pictures: boxes, whole pictures made small, four crops."""

import math
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.augmentation.chance import Range, within
from foveate.augmentation.mixing import (
    Counts,
    Mix,
    MixConfig,
    mixed,
    partner_of,
    soft_targets,
)
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
        return mixed(batch, partner, 1 - area / (height * width), self.classes)

    def partner(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        """(B,) int64: whose box each picture gets."""
        return partner_of(batch, rng)


class MinorityMix(CutMix):
    """CutMix whose pasted box comes from a rare class more often; the label mixed by area.

    A picture of class c lends its box with a probability in proportion to n_c^-power, n_c being its training pictures;
    one picture may lend to several. So rare classes appear before the many backgrounds of common ones.

    Source: Park et al., The majority can help the minority: context-rich minority oversampling, CVPR 2022.
    """

    class Config(CutMix.Config):
        kind: Literal["minority_mix"] = "minority_mix"  # type: ignore[assignment]
        power: float = Field(default=1.0, ge=0, le=4)
        """0: all pictures alike; 1: all classes of the batch alike, were they there as in the training pictures."""

    def __init__(self, config: Config, counts: Counts) -> None:
        super().__init__(config, counts)
        self.chance = np.maximum(np.array(counts, dtype=np.float64), 1.0) ** -config.power

    def partner(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        chance = self.chance[batch.labels.clamp(min=0).cpu().numpy()]
        drawn = rng.choice(len(batch), len(batch), p=chance / chance.sum())
        return torch.from_numpy(drawn).to(batch.images.device)


class ResizeMix(Mix):
    """Another picture, shrunk as a whole, is pasted; the label is mixed by area.

    Sides tau H x tau W with tau ~ U(``scale``), at a place where it fits, both one a batch; shrunk bilinearly. In
    contrast to CutMix nothing of the other picture is missing.

    Source: Qin et al., ResizeMix, 2020 (arXiv 2012.11101). Pictures and masks of the batch are changed in place; the
    mask of the mixture is known where both masks are.
    """

    class Config(MixConfig):
        kind: Literal["resizemix"] = "resizemix"
        scale: Annotated[Range, within(1)] = (0.1, 0.8)
        """Smallest and largest side of the pasted picture, as a share of the side."""

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        height, width = batch.images.shape[2:]
        tau = rng.uniform(*self.config.scale)
        tall, wide = max(1, round(tau * height)), max(1, round(tau * width))
        top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
        partner = partner_of(batch, rng)
        for values in (batch.images, batch.masks):
            small = F.interpolate(values, (tall, wide), mode="bilinear", antialias=True)
            values[:, :, top : top + tall, left : left + wide] = small[partner]
        return mixed(batch, partner, 1 - tall * wide / (height * width), self.classes)


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
