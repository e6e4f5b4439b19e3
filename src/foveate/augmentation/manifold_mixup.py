"""Manifold mixup: pictures are blended at a layer drawn for every batch, inside the network."""

from functools import partial
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.mixing import Mix, MixConfig
from foveate.augmentation.mixup import Mixup
from foveate.augmentation.pairs import Counts, both_masks, mix_targets, partner_of, soft_targets
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class ManifoldMixup(Mix):
    """Two pictures blended at a layer inside the network, drawn for every batch.

    h = lambda own + (1 - lambda) partner's feature maps at one place drawn from ``layers``; labels alike.

    lambda ~ Beta(alpha, alpha) and one place a batch. Masks are blended too; they
    are known where both are. Later layers see blended maps only, as in the paper.

    Source: Verma et al., Manifold mixup, ICML 2019.
    """

    class Config(MixConfig):
        kind: Literal["manifold_mixup"] = "manifold_mixup"
        alpha: float = Field(default=2.0, gt=0)
        """Of the Beta distribution (2 in the paper)."""
        layers: tuple[str, ...] = Field(default=("input", "early", "middle"), min_length=1)
        """Where, all equally likely: "input", or taps as in ``foveate.models.layer_names``."""

    def __init__(self, config: Config, counts: Counts) -> None:
        super().__init__(config, counts)
        self._input = Mixup(Mixup.Config(alpha=config.alpha), counts)

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        layer = self.config.layers[int(rng.integers(len(self.config.layers)))]
        if layer == "input":
            return self._input(batch, model, rng, Progress())
        kept = float(rng.beta(self.config.alpha, self.config.alpha))
        partner = partner_of(batch, rng)
        batch.masks.lerp_(batch.masks[partner], 1 - kept)
        share = torch.full((len(batch),), kept, device=batch.images.device)
        return batch.replace(
            targets=mix_targets(soft_targets(batch, self.classes), partner, share),
            has_mask=both_masks(batch, partner),
            edits={**batch.edits, layer: partial(_blend, partner=partner, kept=kept)},
        )


def _blend(maps: torch.Tensor, partner: torch.Tensor, kept: float) -> torch.Tensor:
    return maps.lerp(maps[partner], 1 - kept)
