"""Backgrounds behind the object replaced, so that the background stops telling the class.

Works on whole prepared batches on the device: images (B, 3, H, W) float, masks (B, 1, H, W) in [0, 1].
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.augmentation.mixing import Transform
from foveate.augmentation.warp import PIECE
from foveate.core.config import Config
from foveate.core.progress import Progress
from foveate.data.batch import Batch

PAINT_MARGIN = 2
"""Pixels around an object that are painted out with it."""


def paint_out(images: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Fill what is not kept from its surroundings (pull-push on a pyramid).

    Args:
        images: (B, 3, H, W) float.
        keep: (B, 1, H, W) in [0, 1]; 1 = known, 0 = to be filled.

    Returns:
        (B, 3, H, W); known pixels unchanged, the rest a smooth continuation. A picture with nothing known is filled
        with 0 (the mean colour after normalisation).

    Source: Gortler et al., The Lumigraph, SIGGRAPH 1996 (pull-push).
    """
    height, width = images.shape[-2:]
    if height == width == 1:
        return images * keep
    window = (min(2, height), min(2, width))
    known = F.avg_pool2d(keep, window, ceil_mode=True)
    coarse = F.avg_pool2d(images * keep, window, ceil_mode=True) / known.clamp(min=1e-6)
    filled = paint_out(coarse, (known > 0).to(images.dtype))
    filled = F.interpolate(filled, size=images.shape[-2:], mode="bilinear", align_corners=False)
    return filled.mul_(1 - keep).add_(images * keep)


def partners(
    targets: torch.Tensor, candidates: torch.Tensor, source: str, rng: np.random.Generator
) -> torch.Tensor:
    """For each picture another one of the batch, (B,) int64; itself where there is no other.

    Args:
        targets: (B,) int64 labels.
        candidates: (B,) bool, pictures that may serve as partner.
        source: "any", or "other_class" (then any where no other class is in the batch).
    """
    labels, usable = targets.cpu().numpy(), np.flatnonzero(candidates.cpu().numpy())
    chosen = np.arange(len(labels))
    for i in range(len(labels)):
        pool = others(i, labels, usable, source)
        if len(pool):
            chosen[i] = rng.choice(pool)
    return torch.from_numpy(chosen).to(targets.device)


def others(i: int, labels: np.ndarray, usable: np.ndarray, source: str) -> np.ndarray:
    """Which of ``usable`` may lend picture ``i`` its background, (m,) int64; empty where there is no other picture.

    Args:
        labels: (N,) int64 of all pictures.
        usable: (k,) int64, pictures that may lend one.
        source: "any", or "other_class" (then any where there is no other class).
    """
    pool = usable[labels[usable] != labels[i]] if source == "other_class" else usable[usable != i]
    return pool if len(pool) else usable[usable != i]


def without_object(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) with the object of masks (B, 1, H, W) painted out, ``PAINT_MARGIN`` wider than the mask.

    Nothing of the object may shine through, so every pixel that has any share in it goes.
    """
    keep = (widen(masks, PAINT_MARGIN) == 0).to(images.dtype)
    parts = zip(images.split(PIECE), keep.split(PIECE), strict=True)
    return torch.cat([paint_out(*part) for part in parts])


def blur(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) blurred to what 4 x 4 mean colours can tell."""
    small = F.adaptive_avg_pool2d(images, 4)
    return F.interpolate(small, size=images.shape[-2:], mode="bilinear", align_corners=False)


def compose(images: torch.Tensor, behind: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """The objects of ``images`` before another background: alpha (B, 1, H, W), 1 = object; the rest (B, 3, H, W)."""
    return images * alpha + behind * (1 - alpha)


class BackgroundSwap(Transform):
    """With probability ``p`` a picture's background becomes something else; the object stays, the label stays.

    ``swap``: the background of another picture of the batch, its own object painted out; ``blur``, ``noise``,
    ``flat``: a background without any content. Pictures without a mask are left alone and lend no background.
    """

    class Config(Config):
        kind: Literal["background_swap"] = "background_swap"
        p: float = Field(default=0.7, ge=0, le=1)
        """Probability for each picture with a mask."""
        source: Literal["any", "other_class"] = "any"
        """Whose background. Trap: with "other_class" and a high ``p`` a background says which class it is *not*, and a
        network learns that; "any" makes background and class independent."""
        fill: Literal["swap", "blur", "noise", "flat"] = "swap"
        """What comes behind the object."""
        grow: int = Field(default=0, ge=-512, le=512)
        """Pixels by which the kept object is widened (negative: narrowed). Trap: every pixel of the old background
        that stays as a rim still tells the class; two pixels of it cost nearly half of the effect on the drawn set."""

        def consumes(self) -> tuple[str, ...]:
            return ("masks",)

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        chosen = (
            torch.from_numpy(rng.random(len(batch)) < self.config.p).to(batch.images.device) & batch.has_mask
        )
        if not bool(chosen.any()):
            return batch
        rows = chosen.nonzero()[:, 0]
        images, masks = batch.images[rows], batch.masks[rows]
        if self.config.fill == "swap":
            source = partners(batch.labels, batch.has_mask, self.config.source, rng)[rows]
            behind = without_object(batch.images[source], batch.masks[source])
        else:
            behind = self._plain(images, masks, rng)
        changed = batch.images.clone()
        changed[rows] = compose(images, behind, widen(masks, self.config.grow))
        return batch.replace(images=changed)

    def _plain(self, images: torch.Tensor, masks: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        if self.config.fill == "blur":
            return blur(without_object(images, masks))
        shape = images.shape if self.config.fill == "noise" else (len(images), 3, 1, 1)
        # Normalised pictures have about unit variance, so unit noise spans the usual range of colours.
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(images).expand(images.shape)


def widen(masks: torch.Tensor, pixels: int) -> torch.Tensor:
    """(B, 1, H, W) masks dilated by a square of ``pixels`` on each side; eroded when negative."""
    if pixels < 0:
        return 1 - widen(1 - masks, -pixels)
    for dim in (2, 3) if pixels else ():
        # The largest of 2^k neighbours is that of two halves: the time grows with the logarithm of the width.
        found = F.pad(masks, (0, 0, pixels, pixels) if dim == 2 else (pixels, pixels))
        steps, width, rest = [], 1, 2 * pixels + 1
        while 2 * width <= rest:
            steps.append(width)
            width *= 2
        for step in [*steps, rest - width]:
            length = found.shape[dim] - step
            found = torch.maximum(found.narrow(dim, 0, length), found.narrow(dim, step, length))
        masks = found
    return masks
