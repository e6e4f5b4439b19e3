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
from foveate.augmentation.warp import affine
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

        def consumes(self) -> tuple[str, ...]:
            return ("masks",)

    def __init__(self, config: Config, counts: Counts) -> None:
        self.config = config

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        config = self.config
        some = chosen(rng, config.p, len(batch), batch.images).flatten() & batch.has_mask
        own = (some & (batch.masks.flatten(1).amax(dim=1) > 0.5)).nonzero()[:, 0]
        if not len(own):
            return batch
        background, over = lenders(batch, rng)[own], lenders(batch, rng)[own]
        images = without_object(batch.images[background], batch.masks[background])
        matrices, edges = [], []
        for rows in (own, over):
            matrices.append(
                somewhere(rng, batch.masks[rows], config.scale, config.truncation, config.degrees)
            )
            edges.append(rng.choice(np.array(config.blends), len(own)))
        shown, mask = cut(batch, own, matrices[0])
        images = blended(images, shown, mask, edges[0])
        cover = affine(batch.masks[over], matrices[1])
        hidden = (mask * cover).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp(min=1e-6)
        covered = chosen(rng, config.occlusion, len(own), images).flatten() & (hidden <= config.hidden)
        rows = (covered & (over != own)).nonzero()[:, 0]
        other = affine(
            batch.images[over[rows]], tuple(torch.as_tensor(v).expand(len(own))[rows] for v in matrices[1])
        )
        images[rows] = blended(images[rows], other, cover[rows], edges[1][rows.cpu().numpy()])
        mask[rows] *= 1 - cover[rows]
        batch.images[own], batch.masks[own] = images, mask
        return batch
