"""Rectangles hidden, and what all that hide parts share: which pictures, what fills the holes, the mask."""

import math
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.boxes import around, clipped, inside
from foveate.augmentation.chance import Range, chosen, noise, whole, within
from foveate.augmentation.mixing import Transform
from foveate.augmentation.warp import PIECE
from foveate.core.config import Config
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class EraseConfig(Config):
    """Settings that all of them have."""

    p: float = Field(default=1.0, ge=0, le=1)
    """Probability for each picture."""
    fill: Literal["mean", "noise"] = "mean"
    """What is put there: the mean colour of the normalisation, or normal noise for every pixel and channel."""


class Erase(Transform):
    """Base: holes filled, labels as they are. What is hidden is no object in the mask. In place."""

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        some = chosen(rng, self.probability(progress), len(batch), batch.images)
        holes = self.holes(batch, rng) & some
        if self.config.fill == "mean":
            kept = (~holes).to(batch.images)  # masked_fill_ takes three times as long on the CPU
            batch.images.mul_(kept)
            batch.masks.mul_(kept)
            return batch
        batch.masks.masked_fill_(holes, 0)
        # The noise of a few pictures serves the next few again: drawing it would take longer than all the rest.
        drawn = noise(rng, (min(PIECE, len(batch)), *batch.images.shape[1:]), batch.images)
        for images, hidden in zip(batch.images.split(PIECE), holes.split(PIECE), strict=True):
            torch.where(hidden, drawn[: len(images)], images, out=images)
        return batch

    def probability(self, progress: Progress) -> float:
        """Of acting on a picture."""
        return float(self.config.p)

    def holes(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        """(B, 1, H, W) bool: what is hidden where the transform acts."""
        raise NotImplementedError


class Cutout(Erase):
    """A square of fixed size around a uniform pixel is hidden, cut off at the border.

    Source: DeVries & Taylor, Improved regularization of convolutional neural networks with cutout, 2017
    (arXiv 1708.04552). The size is fixed there, only the place is random. (The augmentation step ``cutout`` is the
    rectangle of the plant-species report, which is hidden before the picture is moved and turned.)
    """

    class Config(EraseConfig):
        kind: Literal["cutout"] = "cutout"
        side: float = Field(default=0.5, ge=0, le=2)
        """As a share of the picture's shorter side: 16 of 32 pixels on CIFAR-10 in the paper, 8 on CIFAR-100."""
        holes: int = Field(default=1, ge=1, le=64)
        """Squares in a picture."""

    def holes(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        height, width = size = batch.images.shape[2:]
        hidden = torch.zeros_like(batch.masks, dtype=torch.bool)
        side = torch.tensor(round(self.config.side * min(size)), device=hidden.device)
        for _ in range(self.config.holes):
            y, x = (whole(rng, end, len(batch), batch.images) for end in (height, width))
            hidden |= inside(clipped(y, x, side, side, (height, width)), (height, width))
        return hidden


TRIES = 100
"""Rectangles that are drawn for a picture until one fits."""


class RandomErasing(Erase):
    """A rectangle of random area and shape that lies wholly inside the picture is hidden.

    Area uniform in ``scale``, height / width log-uniform in ``ratio`` (as in torchvision; the authors' program draws it
    uniformly), place uniform; where none of 100 rectangles fits nothing happens. With ``region`` "object" the
    rectangle is drawn in the box around the mask, "both" draws one there and one in the whole picture (the paper's
    variants for detection). A picture without a mask counts as all object.

    Source: Zhong et al., Random erasing data augmentation, AAAI 2020.
    """

    class Config(EraseConfig):
        kind: Literal["random_erasing"] = "random_erasing"
        p: float = Field(default=0.5, ge=0, le=1)
        """Probability for each picture."""
        fill: Literal["mean", "noise"] = "noise"
        """What is put there; noise was best in the paper."""
        scale: Annotated[Range, within(1)] = (0.02, 0.4)
        """Smallest and largest area, as a share of the region."""
        ratio: Annotated[Range, within(math.inf)] = (0.3, 1 / 0.3)
        """Smallest and largest height / width."""
        region: Literal["picture", "object", "both"] = "picture"
        """Where the rectangle lies."""

        def consumes(self) -> tuple[str, ...]:
            return () if self.region == "picture" else ("masks",)

    def holes(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        height, width = batch.images.shape[2:]
        regions = []
        if self.config.region != "object":
            everything = torch.tensor([0, 0, height, width], device=batch.images.device)
            regions.append(everything.expand(len(batch), 4))
        if self.config.region != "picture":
            regions.append(around((batch.masks > 0.5) & batch.has_mask[:, None, None, None]))
        hidden = torch.zeros_like(batch.masks, dtype=torch.bool)
        for region in regions:
            boxes = torch.from_numpy(self._boxes(region.cpu().numpy(), rng)).to(region.device)
            hidden |= inside(boxes, (height, width))
        return hidden

    def _boxes(self, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(B, 4) boxes inside of ``region`` (B, 4); empty where none fits."""
        many = (len(region), TRIES)
        height, width = (region[:, 2:] - region[:, :2]).T[:, :, None]
        area = rng.uniform(self.config.scale[0], self.config.scale[1], many) * height * width
        ratio = np.exp(rng.uniform(math.log(self.config.ratio[0]), math.log(self.config.ratio[1]), many))
        tall, wide = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (tall < height) & (wide < width)
        first = fits.argmax(axis=1)[:, None]
        place = rng.random((2, len(region)))
        sides = [np.take_along_axis(side * fits, first, 1)[:, 0] for side in (tall, wide)]
        ends = []
        for k, side in enumerate(sides):
            start = region[:, k] + np.floor(place[k] * (region[:, k + 2] - region[:, k] - side + 1))
            ends.append((start, start + side))
        return np.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], axis=1).astype(np.int64)


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
