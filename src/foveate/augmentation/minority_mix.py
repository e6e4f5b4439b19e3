"""Minority mixing: boxes of rare classes pasted into whatever picture."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field

from foveate.augmentation.cutmix import CutMix
from foveate.augmentation.pairs import Counts
from foveate.data.batch import Batch


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
