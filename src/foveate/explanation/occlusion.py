"""Methods that cover parts of a picture and ask for the score: windows one after the other, or random masks."""

import math
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional

from foveate.explanation.explainer import PictureExplainer
from foveate.explanation.probe import Probe
from foveate.explanation.scorer import ClassScore, Scorer


class Occlusion(PictureExplainer):
    """Occlusion: for each pixel the mean over the windows that cover it of S(X) - S(X covered).

    Window and stride are shares of the shorter side, so that pictures of any size are treated alike.
    Source: Zeiler & Fergus, ECCV 2014; equal to captum's ``Occlusion`` with the same windows over all channels.
    """

    kind: Literal["occlusion"] = "occlusion"
    window: float = Field(default=0.15, gt=0, le=1)
    """Side of the square window."""
    stride: float = Field(default=0.075, gt=0, le=1)
    """Step from window to window."""
    fill: Literal["mean", "black", "white"] = "mean"
    """The cover: the mean colour (0 after normalisation), or the picture's own darkest or lightest values."""
    score: ClassScore = "logit"

    slow = True
    signed = True
    chunk = 64

    def map(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        side = min(height, width)
        window = max(1, round(self.window * side))
        stride = max(1, round(self.stride * side))
        places = [(y, x) for y in starts(height, window, stride) for x in starts(width, window, stride)]
        scorer = Scorer(probe, self.score, passes=len(places) * len(images))
        counts = images.new_zeros((height, width), dtype=torch.float32)
        maps = images.new_zeros((len(images), height, width), dtype=torch.float32)
        for y, x in places:
            counts[y : y + window, x : x + window] += 1
        for i, picture in enumerate(images):
            covered = partial(self._covered, scorer.buffer(images), picture, window, places)
            scores = scorer.over(targets[i], len(places), covered, done=i * len(places))
            whole = scorer(picture[None].clone(), targets[i : i + 1])[0]
            for (y, x), score in zip(places, scores, strict=True):
                maps[i, y : y + window, x : x + window] += whole - score
        return maps / counts

    def _covered(
        self, buffer: torch.Tensor, picture: torch.Tensor, window: int, places: list[tuple[int, int]], part: slice
    ) -> torch.Tensor:  # fmt: skip
        """The picture with a window covered, once for each of these places."""
        reduce = {"black": torch.amin, "white": torch.amax}.get(self.fill)
        cover = reduce(picture, dim=(1, 2), keepdim=True) if reduce else 0.0  # (3, 1, 1)
        target = buffer[: part.stop - part.start].copy_(picture)
        for one, (y, x) in zip(target, places[part], strict=True):
            one[:, y : y + window, x : x + window] = cover
        return target


def starts(length: int, window: int, stride: int) -> list[int]:
    """First pixels of windows that cover ``length``; the last one may reach over the edge."""
    last = max(0, -(-(length - window) // stride))
    return [n * stride for n in range(last + 1)]


class Rise(PictureExplainer):
    """RISE: sum_i S(X ⊙ m_i) m_i / (N p), random coarse grids, upsampled bilinearly and shifted by less than a cell.

    No training, no gradient, no inside knowledge. Source: Petsiuk et al., RISE, BMVC 2018.
    """

    kind: Literal["rise"] = "rise"
    masks: int = Field(default=2000, ge=2, le=1_000_000)
    """N. The paper takes 4000 for VGG16 and 8000 for ResNet-50; fewer give a noisier map."""
    grid: int = Field(default=7, ge=2, le=512)
    """Cells a side."""
    keep: float = Field(default=0.5, gt=0, lt=1)
    """p: probability that a cell is seen."""
    score: ClassScore = "probability"

    slow = True
    chunk = 64

    def map(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        count = self.masks
        scorer = Scorer(probe, self.score, passes=count * len(images))
        cells, shifts = self._draw(probe.generator("rise", count), height, width)
        maps = images.new_zeros((len(images), height * width), dtype=torch.float32)
        for part in probe.chunks(count):
            masks = coarse_masks(cells[part], shifts[part], height, width).to(images.device)
            for i, picture in enumerate(images):
                target = scorer.buffer(images)[: len(masks)]
                torch.mul(picture[None], masks[:, None].to(images.dtype), out=target)
                scores = scorer(target, targets[i].expand(len(masks)))
                maps[i] += scores @ masks.flatten(1)
            probe.report(min(part.stop, count), count)
        return maps.unflatten(1, (height, width)) / (count * self.keep)

    def _draw(self, generator: torch.Generator, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, grid, grid) zeros and ones, and (N, 2) shifts down and right in pixels; the same for every picture."""
        count, grid = self.masks, self.grid
        cells = (torch.rand(count, grid, grid, generator=generator) < self.keep).float()
        steps = torch.tensor([math.ceil(height / grid), math.ceil(width / grid)])
        shifts = (torch.rand(count, 2, generator=generator) * steps).long()
        return cells, shifts


def coarse_masks(cells: torch.Tensor, shifts: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(n, g, g) cells -> (n, H, W) masks in [0, 1]: upsampled to one cell more than the picture, then cut out."""
    grid = cells.shape[1]
    down, right = math.ceil(height / grid), math.ceil(width / grid)
    size = ((grid + 1) * down, (grid + 1) * right)
    large = functional.interpolate(cells[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    return torch.stack(
        [mask[y : y + height, x : x + width] for mask, (y, x) in zip(large, shifts.tolist(), strict=True)]
    )
