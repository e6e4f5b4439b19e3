"""Occlusion: how much the score falls when a window of the picture is covered."""

from typing import Literal

import torch
from pydantic import Field

from foveate.explanation.explainer import PictureExplainer
from foveate.explanation.probe import Probe
from foveate.explanation.scorer import Score, Scorer


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
    score: Score = "logit"

    slow = True
    signed = True
    chunk = 64

    def map(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        side = min(height, width)
        window = max(1, round(self.window * side))
        stride = max(1, round(self.stride * side))
        places = [(y, x) for y in starts(height, window, stride) for x in starts(width, window, stride)]
        total, done = len(places) * len(images), 0
        scorer = Scorer(probe, self.score, passes=total)
        counts = images.new_zeros((height, width), dtype=torch.float32)
        for y, x in places:
            counts[y : y + window, x : x + window] += 1
        maps = images.new_zeros((len(images), height, width), dtype=torch.float32)
        for i, picture in enumerate(images):
            cover = self._cover(picture)
            whole: torch.Tensor | None = None
            buffer = scorer.buffer(images)
            for part in probe.chunks(len(places)):
                chosen = places[part]
                target = buffer[: len(chosen)].copy_(picture.expand(len(chosen), -1, -1, -1))
                for n, (y, x) in enumerate(chosen):
                    target[n, :, y : y + window, x : x + window] = cover
                scores = scorer(target, targets[i].expand(len(chosen)))
                if whole is None:
                    whole = scorer(picture[None].clone(), targets[i : i + 1])
                for (y, x), score in zip(chosen, scores, strict=True):
                    maps[i, y : y + window, x : x + window] += whole[0] - score
                done += len(chosen)
                probe.report(done, total)
        return maps / counts

    def _cover(self, picture: torch.Tensor) -> torch.Tensor | float:
        """What the window is filled with, (3, 1, 1)."""
        if self.fill == "mean":
            return 0.0
        reduce = torch.amin if self.fill == "black" else torch.amax
        return reduce(picture, dim=(1, 2), keepdim=True)


def starts(length: int, window: int, stride: int) -> list[int]:
    """First pixels of windows that cover ``length``; the last one may reach over the edge."""
    last = max(0, -(-(length - window) // stride))
    return [n * stride for n in range(last + 1)]
