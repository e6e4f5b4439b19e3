"""Superpixels as features: which of them are shown, the rest hidden, and what the network then says."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from skimage.segmentation import slic

from foveate.explanation.baselines import Baseline, baselines, unit_pictures
from foveate.explanation.explainer import PictureExplainer
from foveate.explanation.probe import Probe
from foveate.explanation.scorer import Score, Scorer

Hidden = Baseline | Literal["superpixel"]


class SuperpixelExplainer(PictureExplainer):
    """Base: a value for each superpixel of each picture, one picture after the other."""

    segments: int = Field(default=50, ge=1, le=10_000)
    """About how many superpixels (SLIC, Achanta et al. 2012); fewer where the picture is plain."""
    compactness: float = Field(default=30.0, gt=0)
    """High: square superpixels; low: they follow the colours."""
    hidden: Hidden = "superpixel"
    """What a hidden superpixel shows: its own mean colour, or mean, black, white, blurred, noise."""
    samples: int = Field(default=1000, ge=2, le=1_000_000)
    """Pictures with hidden superpixels that the network is asked about."""
    score: Score = "logit"
    """What is explained."""

    slow = True
    signed = True
    chunk = 64

    def map(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        segments = superpixels(probe, images, self.segments, self.compactness)
        scorer = Scorer(probe, self.score, passes=self.samples * len(images))
        maps = []
        for i, segment in enumerate(segments):
            game = Game(probe, scorer, images[i], int(targets[i]), segment, self.hidden)
            values = torch.from_numpy(self.values(game, probe)).float()
            maps.append(values.to(images.device)[segment])
            probe.report(i + 1, len(images))
        return torch.stack(maps)

    def values(self, game: "Game", probe: Probe) -> np.ndarray:
        """A value for each superpixel, (S,) float64."""
        raise NotImplementedError


class Game:
    """One picture whose superpixels can be hidden."""

    def __init__(
        self, probe: Probe, scorer: Scorer, image: torch.Tensor, target: int, segments: torch.Tensor, hidden: Hidden
    ) -> None:  # fmt: skip
        """image: (C, H, W) normalised; segments: (H, W) from 0 without gaps."""
        self.probe, self.scorer, self.image = probe, scorer, image
        self.target, self.segments = target, segments
        self.players = int(segments.max()) + 1
        if hidden == "superpixel":
            self.hidden = segment_means(image, segments)
        else:
            self.hidden = baselines(probe, image[None], hidden)[0, 0]

    def __call__(self, shown: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 of the picture with the superpixels ``shown`` (n, S), booleans."""
        scores = []
        for part in self.probe.chunks(len(shown)):
            mask = torch.from_numpy(shown[part]).to(self.image.device)[:, self.segments]  # (n, H, W)
            pictures = self.probe.place(torch.where(mask[:, None], self.image, self.hidden))
            targets = torch.full((len(pictures),), self.target, device=pictures.device)
            scores.append(self.scorer(pictures, targets).double().cpu())
        return torch.cat(scores).numpy()


def superpixels(probe: Probe, images: torch.Tensor, count: int, compactness: float) -> torch.Tensor:
    """(B, H, W) int64: each pixel's superpixel, numbered from 0 without gaps in each picture."""
    pictures = unit_pictures(probe, images).permute(0, 2, 3, 1).cpu().numpy()
    # Without the blur (sigma in pixels) and with SLIC's usual compactness of 10, fragments of a textured picture are
    # merged to two or three superpixels.
    found = [
        np.unique(
            slic(picture, n_segments=count, compactness=compactness, sigma=1, start_label=0),
            return_inverse=True,
        )[1]
        for picture in pictures
    ]
    return torch.from_numpy(np.stack([f.reshape(images.shape[2:]) for f in found])).to(images.device)


def segment_means(image: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
    """Each pixel gets the mean colour of its superpixel: (C, H, W) and (H, W) -> (C, H, W)."""
    flat, values = segments.flatten(), image.float().flatten(1)
    sums = torch.zeros(len(image), int(flat.max()) + 1, device=image.device).index_add_(1, flat, values)
    return (sums / torch.bincount(flat))[:, segments].to(image.dtype)
