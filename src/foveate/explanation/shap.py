"""Shapley values by sampling: gradients on random paths (pixels), and the weighted regression (superpixels).

DeepLIFT over random baselines is in ``deeplift``.
"""

from itertools import product
from math import comb
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from foveate.core.rng import key
from foveate.explanation.baselines import Baseline, baselines
from foveate.explanation.gradients import PixelExplainer, noisy_copies, sampled_gradients, summed
from foveate.explanation.probe import Probe
from foveate.explanation.superpixels import Game, SuperpixelExplainer


class GradientShap(PixelExplainer):
    """The mean of (x - x') dS/dx at x' + t (x - x'), over random baselines x' and t uniform in [0, 1].

    The expectation of integrated gradients over baselines. Source: Lundberg & Lee, NeurIPS 2017 (arXiv 1705.07874), as
    GradientExplainer in their library.
    """

    kind: Literal["gradient_shap"] = "gradient_shap"
    baseline: Baseline = "noise"
    """Where the paths begin: noise or pictures (another one for each sample), mean, black, white, blurred."""
    samples: int = Field(default=50, ge=1, le=100_000)
    """Gradients for each picture."""
    sigma: float = Field(default=0.0, ge=0)
    """Noise added to the picture, as a share of its range (largest minus smallest value)."""

    slow = True
    signed = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        count = self.samples
        starts = baselines(probe, images, self.baseline, count)
        generator = probe.generator("gradient_shap")
        times = torch.rand(count, generator=generator).to(images.device).view(-1, 1, 1, 1, 1)

        def of(part: slice) -> torch.Tensor:
            way = noisy_copies(images, self.sigma, part.stop - part.start, generator) - starts[part].float()
            return way * sampled_gradients(probe, starts[part] + times[part] * way, targets)

        return summed(probe, images, count, of) / count


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
