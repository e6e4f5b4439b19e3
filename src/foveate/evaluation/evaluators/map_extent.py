"""How wide does the network look: the share of the picture that holds half of a class map. Needs no masks."""

from typing import Literal

import numpy as np
import torch

from foveate.core import config
from foveate.data.batch import Batch
from foveate.evaluation.evaluators.evaluator import Evaluator
from foveate.explanation.maps import class_map, upsample

COLUMN = "map_extent"


class MapExtent(Evaluator):
    """The smallest share of the picture that holds half of the true class's Grad-CAM: 0.5 for an even map, small for a
    narrow one.

    The map is laid over the picture as in figures (bilinearly), so a coarse map cannot be narrower than its places. A
    picture without a label, or whose map is zero everywhere, has no value. Wide is neither right nor wrong.
    """

    class Config(config.Config):
        kind: Literal["map_extent"] = "map_extent"
        tap: str = "late"
        """Feature map at which it is measured."""

    def wants(self, rows: np.ndarray) -> bool:
        return True

    def values(self, batch: Batch) -> dict[str, np.ndarray]:
        model = self.subject.model
        prepared = batch.prepare(self.subject.device, model.mean, model.std)
        maps = class_map(model, prepared.images, prepared.targets.clamp(min=0), self.config.tap)
        found = extent(upsample(maps, (prepared.images.shape[2], prepared.images.shape[3])))
        return {COLUMN: torch.where(prepared.targets >= 0, found, torch.nan).float().cpu().numpy()}


def extent(maps: torch.Tensor) -> torch.Tensor:
    """(B,) smallest share of the places of maps (B, H, W), not negative, that holds half of the sum; NaN: all zero."""
    ordered = maps.flatten(1).double().sort(dim=1, descending=True).values
    total = ordered.sum(dim=1, keepdim=True)
    needed = (ordered.cumsum(dim=1) < total / 2).sum(dim=1) + 1
    return torch.where(total[:, 0] > 0, needed / ordered.shape[1], torch.nan)
