"""Cut, paste and learn: objects on other backgrounds, turned, scaled, cut off, half hidden."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import nn

from foveate.augmentation.background_swap import without_object
from foveate.augmentation.chance import Range, chosen
from foveate.augmentation.objects import Blend, blended, cut, lenders, somewhere
from foveate.augmentation.pairs import Counts
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class CutPaste:
    """The object of a picture, cut out by its mask, pasted into the background of another one; the label stays.

    It is scaled, turned, placed anywhere (partly outside: truncation), and with probability ``occlusion`` the object of
    a third picture lies over part of it. Its edge is sharp, soft or Poisson-blended, drawn for every picture, so that
    no kind of edge tells that something was pasted. Backgrounds come from the batch, their own objects painted out;
    pictures without a mask stay as they are and lend nothing.

    Source: Dwibedi et al., Cut, paste and learn, ICCV 2017, made for detection: there scenes hold several objects and
    distractors of other data. Probabilities are our choice.
    """

    class Config(Settings):
        kind: Literal["cut_paste"] = "cut_paste"
        p: float = Field(default=0.5, ge=0, le=1)
        """Probability for each picture with a mask."""
        scale: Range = (0.25, 0.6)
        """Smallest and largest longer side of the object, as a share of the picture's shorter side."""
        degrees: float = Field(default=30.0, ge=0, le=180)
        """Largest turn, either way."""
        truncation: float = Field(default=0.25, ge=0, lt=0.5)
        """Largest share of its height, and of its width, that lies outside the picture."""
        occlusion: float = Field(default=0.3, ge=0, le=1)
        """Probability that another object lies over it."""
        hidden: float = Field(default=0.5, ge=0, le=1)
        """Largest share of the object that the other one may hide; beyond it is left away."""
        blends: tuple[Blend, ...] = Field(default=("none", "gaussian", "poisson"), min_length=1, max_length=8)
        """Kinds of edges, all equally likely."""

        @model_validator(mode="after")
        def _possible(self) -> "CutPaste.Config":
            if not 0 < self.scale[0] <= self.scale[1] <= 4:
                raise ValueError("scale must lie in (0, 4], the smaller value first")
            return self

    def __init__(self, config: Config, counts: Counts) -> None:
        self.config = config

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        config, count = self.config, len(batch)
        some = chosen(rng, config.p, count, batch.images) & batch.has_mask[:, None, None, None]
        some &= batch.masks.flatten(1).amax(dim=1)[:, None, None, None] > 0.5
        if not bool(some.any()):
            return batch
        own = torch.arange(count, device=batch.images.device)
        background, over = lenders(batch, rng), lenders(batch, rng)
        behind = without_object(batch.images, batch.masks)[background]
        layers = []
        for rows in (own, over):
            matrix = somewhere(rng, batch.masks[rows], config.scale, config.truncation, config.degrees)
            layers.append((*cut(batch, rows, matrix), rng.choice(np.array(config.blends), count)))
        images = blended(behind, *layers[0])
        mask, cover = layers[0][1], layers[1][1]
        hidden = (mask * cover).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp(min=1e-6)
        covered = chosen(rng, config.occlusion, count, batch.images)
        covered &= ((hidden <= config.hidden) & (over != own))[:, None, None, None]
        images = torch.where(covered, blended(images, *layers[1]), images)
        mask = torch.where(covered, mask * (1 - cover), mask)
        batch.images.copy_(torch.where(some, images, batch.images))
        return batch.replace(masks=torch.where(some, mask, batch.masks))
