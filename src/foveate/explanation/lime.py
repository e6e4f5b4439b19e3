"""LIME on superpixels, and SP-LIME's choice of pictures."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from sklearn.linear_model import Ridge

from foveate.core.errors import ConfigError
from foveate.core.rng import key
from foveate.explanation.probe import Probe
from foveate.explanation.superpixels import Game, SuperpixelExplainer


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
        return Ridge(alpha=self.alpha).fit(shown.astype(float), game(shown), sample_weight=weights).coef_


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
