"""Objects, cut out by their masks, pasted: on other backgrounds, or where the surroundings speak for them."""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.background_swap import without_object
from foveate.augmentation.boxes import around
from foveate.augmentation.chance import Range, chosen, uniform, within
from foveate.augmentation.guidance import GuidedConfig, class_map, guide, same_class
from foveate.augmentation.guided_boxes import percent_maps
from foveate.augmentation.mixing import Transform
from foveate.augmentation.objects import Blend, blended, cut, lenders, pose, somewhere
from foveate.augmentation.warp import affine
from foveate.core.config import Config as Settings
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class CutPaste(Transform):
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
        scale: Annotated[Range, within(4)] = (0.25, 0.6)
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

        def consumes(self) -> tuple[str, ...]:
            return ("masks",)

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


class ContextPaste(Transform):
    """Another object of the same class, pasted where the picture without its own object makes the class likely.

    The own object is painted out, the network says where what is left speaks for the class, and the place is drawn in
    proportion to that; the object of another picture of the class is pasted there, about as large as it was, beside the
    own one, which stays. The label stays; the mask is that of both objects. Pictures that have no mask, or no other of
    their class with one in the batch, stay as they are. Own map: CAM (needs a linear head on pooled maps; else
    ``explainer: gradcam``).

    A simple form of Dvornik et al., Modeling visual context is key to augmenting object detection datasets, ECCV 2018:
    there a second network, trained for it, judges boxes that are masked out.
    """

    class Config(GuidedConfig):
        kind: Literal["context_paste"] = "context_paste"
        p: float = Field(default=0.5, ge=0, le=1)
        """Probability for each picture; our choice."""
        scale: Annotated[Range, within(4)] = (0.8, 1.25)
        """Smallest and largest factor of the pasted object's size; our choice."""
        blends: tuple[Blend, ...] = Field(default=("none", "gaussian", "poisson"), min_length=1, max_length=8)
        """Kinds of edges, all equally likely."""

        def consumes(self) -> tuple[str, ...]:
            return ("masks",)

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        count = len(batch)
        usable = batch.has_mask & (batch.masks.flatten(1).amax(dim=1) > 0.5)
        # Pictures without an object are no lenders: each is a class of its own.
        alone = torch.arange(count, device=usable.device) + 1 + batch.labels.max()
        partner = same_class(torch.where(usable, batch.labels, alone), rng)
        some = chosen(rng, self.config.p, count, batch.images).flatten() & (
            partner != torch.arange(count).to(partner)
        )
        rows = some.nonzero()[:, 0]
        if not len(rows):
            return batch
        partner, own, shown = partner[rows], batch.images[rows], batch.masks[rows]
        empty = without_object(own, shown)
        part = batch.replace(images=empty, targets=batch.targets[rows], index=batch.index[rows])
        likely = percent_maps(guide(self.config, class_map, model, part)).flatten(1)
        draw = torch.from_numpy(rng.random((count, 1))).to(likely)[rows]
        place = torch.searchsorted(likely.cumsum(dim=1), draw).clamp(max=likely.shape[1] - 1)[:, 0]
        width = own.shape[3]
        centre = torch.stack([place // width, place % width], dim=1).to(likely) + 0.5
        masks = batch.masks[partner]
        boxes = around(masks > 0.5).to(likely)
        longer = torch.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        side = longer * uniform(rng, self.config.scale, count, likely)[rows]
        pasted, mask = cut(batch, partner, pose(masks, centre, side, torch.zeros_like(side)))
        how = rng.choice(np.array(self.config.blends), count)[rows.cpu().numpy()]
        batch.images[rows] = blended(own, pasted, mask, how)
        batch.masks[rows] = torch.maximum(mask, shown)
        return batch
