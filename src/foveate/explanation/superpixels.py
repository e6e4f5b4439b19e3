"""Superpixels as features, some shown and the rest hidden: LIME, Kernel SHAP, and SP-LIME's choice of pictures."""

from itertools import product
from math import comb
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.core.rng import key
from foveate.explanation.baselines import Baseline, baselines, unit_pictures
from foveate.explanation.explainer import PictureExplainer
from foveate.explanation.probe import Probe
from foveate.explanation.scorer import ClassScore, Scorer

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
    score: ClassScore = "logit"
    """What is explained."""

    slow = True
    signed = True
    chunk = 64

    def map(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        segments = superpixels(probe, images, self.segments, self.compactness)
        scorer = Scorer(probe, self.score, passes=self.samples * len(images))
        maps = []
        for i, segment in enumerate(segments):
            game = Game(probe, scorer, images[i], targets[i], segment, self.hidden)
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
        self, probe: Probe, scorer: Scorer, image: torch.Tensor, target: torch.Tensor, segments: torch.Tensor,
        hidden: Hidden,
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

        def covered(part: slice) -> torch.Tensor:
            mask = torch.from_numpy(shown[part]).to(self.image.device)[:, self.segments]  # (n, H, W)
            return self.probe.place(torch.where(mask[:, None], self.image, self.hidden))

        return self.scorer.over(self.target, len(shown), covered).double().cpu().numpy()


class Lime(SuperpixelExplainer):
    """Coefficients of a weighted ridge regression of the score on which superpixels are shown.

    Each superpixel is shown with probability 1/2; the first sample shows all. A sample weighs exp(-d² / (2 width²)), d
    its cosine distance from the whole picture. Source: Ribeiro et al., KDD 2016 (arXiv 1602.04938).
    """

    kind: Literal["lime"] = "lime"
    width: float = Field(default=0.25, gt=0)
    """Of the kernel, in cosine distance: 0 is the whole picture, 1 the empty one."""
    alpha: float = Field(default=1.0, ge=0)
    """Strength of the ridge penalty."""

    def values(self, game: Game, probe: Probe) -> np.ndarray:
        draws = np.random.Generator(np.random.PCG64(key(probe.seed, "explanation", "lime")))
        shown = draws.random((self.samples, game.players)) < 0.5
        shown[0] = True
        distance = 1 - np.sqrt(shown.mean(axis=1))
        weights = np.exp(-(distance**2) / (2 * self.width**2))
        from sklearn.linear_model import Ridge

        return Ridge(alpha=self.alpha).fit(shown.astype(float), game(shown), sample_weight=weights).coef_


class KernelShap(SuperpixelExplainer):
    """Shapley values of the superpixels by weighted least squares; they sum to S(all shown) - S(all hidden).

    Where all coalitions fit into ``samples`` they are all asked and the values are exact. Otherwise coalitions are
    drawn by the Shapley kernel, each with its complement. Source: Lundberg & Lee, NeurIPS 2017 (arXiv 1705.07874), with
    the pairs of Covert & Lee, AISTATS 2021 (arXiv 2012.01536).
    """

    kind: Literal["kernel_shap"] = "kernel_shap"

    def values(self, game: Game, probe: Probe) -> np.ndarray:
        players = game.players
        nobody, everybody = [False] * players, [True] * players
        if players == 1:
            empty, full = game(np.array([nobody, everybody]))
            return np.array([full - empty])
        seed = key(probe.seed, "explanation", "kernel_shap")
        shown, weights = coalitions(players, self.samples, seed)
        # All in one go: the scorer chooses its precision by the first pictures, and two would be too few.
        *scores, empty, full = game(np.concatenate([shown, [nobody, everybody]]))
        # The sum of the values is known, so the last one is eliminated and the rest is ordinary least squares.
        features = shown.astype(float)
        rest = features[:, :-1] - features[:, -1:]
        wanted = np.array(scores) - empty - features[:, -1] * (full - empty)
        root = np.sqrt(weights)
        found = np.linalg.lstsq(root[:, None] * rest, root * wanted, rcond=None)[0]
        return np.append(found, full - empty - found.sum())


def coalitions(players: int, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coalitions (n, players), neither empty nor full, and their weights (n,) in the regression.

    All with the Shapley kernel's weights if there are at most ``samples``, else ``samples`` drawn by it, in pairs.
    """
    if players < 20 and 2**players - 2 <= samples:
        shown = np.array(list(product([False, True], repeat=players)))[1:-1]
        sizes = shown.sum(axis=1)
        kernel = {s: (players - 1) / (comb(players, s) * s * (players - s)) for s in range(1, players)}
        return shown, np.array([kernel[int(s)] for s in sizes])
    draws = np.random.Generator(np.random.PCG64(seed))
    sizes = np.arange(1, players)
    chances = 1 / (sizes * (players - sizes))
    drawn = draws.choice(sizes, size=(samples + 1) // 2, p=chances / chances.sum())
    order = draws.random((len(drawn), players)).argsort(axis=1)
    half = order.argsort(axis=1) < drawn[:, None]
    return np.concatenate([half, ~half])[:samples], np.ones(samples)


def superpixels(probe: Probe, images: torch.Tensor, count: int, compactness: float) -> torch.Tensor:
    """(B, H, W) int64: each pixel's superpixel, numbered from 0 without gaps in each picture."""
    from skimage.segmentation import slic

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


def pick_pictures(importance: torch.Tensor, count: int, keep: int | None = None) -> list[int]:
    """SP-LIME: the pictures whose explanations together cover most of what matters, in the order of choice.

    A feature's weight is the root of the sum of its absolute importance over all pictures; a choice covers the features
    that matter (are not 0) in at least one of its pictures. Chosen greedily, which reaches at least 1 - 1/e of the best
    choice's coverage; pictures that add nothing are chosen last, in their order. Source: Ribeiro et al., KDD 2016, 4.

    Args:
        importance: (N, D), of D features that mean the same in all pictures: channels, or the cells of a grid over the
            maps (superpixels do not). count: pictures wanted.
        keep: of each picture only this many strongest features count; None: all that are not 0.

    Raises:
        ConfigError: importance is no table, or count is not between 1 and N.
    """
    if importance.ndim != 2:
        raise ConfigError(f"importance should be (pictures, features), got {tuple(importance.shape)}.")
    strength = importance.abs().double()
    if not 1 <= count <= len(strength):
        raise ConfigError(f"count is {count}; there are {len(strength)} pictures to choose from.")
    if keep is not None and keep < strength.shape[1]:
        strongest = strength.topk(keep, dim=1).indices
        strength = torch.zeros_like(strength).scatter(1, strongest, strength.gather(1, strongest))
    weights, matters = strength.sum(dim=0).sqrt(), strength > 0
    covered = torch.zeros(strength.shape[1], dtype=torch.bool, device=strength.device)
    chosen: list[int] = []
    for _ in range(count):
        gains = (weights * (matters & ~covered)).sum(dim=1)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        covered |= matters[chosen[-1]]
    return chosen
