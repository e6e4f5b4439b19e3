"""The parts that a map finds exchanged between pictures."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.boxes import around, clipped, inside
from foveate.augmentation.chance import whole
from foveate.augmentation.guidance import GuidedConfig, class_map, guide, peaks, same_class
from foveate.augmentation.mixing import Mix, partner_of, paste
from foveate.augmentation.warp import affine, box_to_box
from foveate.data.batch import Batch


class PartSwap(Mix):
    """The attentive part of another picture of the same class, stretched over the attentive part of this one.

    A part is the box around what the map says above ``threshold`` of its maximum. Both pictures are of one class, so
    the label stays; a picture that is alone of its class in the batch, or has no evidence for it, stays as it is. Own
    map: CAM (needs a linear head on pooled maps; else ``explainer: gradcam``).

    Source: Zhang et al., Intra-class part swapping for fine-grained image classification, WACV 2021; the threshold was
    not recovered and is our choice. Pictures and masks of the batch are changed in place; the mask is known where both
    masks are.
    """

    class Config(GuidedConfig):
        kind: Literal["part_swap"] = "part_swap"
        threshold: float = Field(default=0.6, ge=0, lt=1)
        """Share of the map's maximum."""

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        partner = same_class(batch.labels, rng)
        maps = guide(self.config, class_map, model, batch)[:, None]
        highest = maps.amax(dim=(2, 3), keepdim=True)
        boxes = around(maps > self.config.threshold * highest)
        matrix = box_to_box(boxes[partner], boxes)
        alone = (partner == torch.arange(len(batch), device=partner.device))[:, None, None, None]
        both = (highest > 0) & (highest[partner] > 0) & ~alone
        place = inside(boxes, (maps.shape[2], maps.shape[3])) & both
        found = paste(
            batch, partner, place, self.classes,
            images=affine(batch.images[partner], matrix), masks=affine(batch.masks[partner], matrix, "nearest"),
        )  # fmt: skip
        return found.replace(targets=batch.targets)


class AttributeMix(Mix):
    """One attribute of another picture is laid over the same attribute of this one; the label mixed by area.

    Attributes are mined by asking again and again: the square around the map's maximum is the first, it is hidden, and
    the map of what is left gives the second, and so on. Which one is exchanged is drawn for every picture. Own map: CAM
    (needs a linear head on pooled maps; else ``explainer: gradcam``).

    Source: Li et al., Attribute Mix, VCIP 2020 (arXiv 2004.02684). The exact label weights and sizes were not
    recovered: labels go by the area of the mask, squares are our choice. There attributes are mined once, before
    training. Pictures and masks of the batch are changed in place; the mask is known where both masks are.
    """

    class Config(GuidedConfig):
        kind: Literal["attribute_mix"] = "attribute_mix"
        attributes: int = Field(default=3, ge=1, le=16)
        """Attributes that are mined; each takes a pass through the network."""
        side: float = Field(default=0.3, gt=0, le=1)
        """Of an attribute's square, as a share of the picture's shorter side."""

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        partner = partner_of(batch, rng)
        boxes = self.mine(model, batch)  # (k, B, 4)
        which = whole(rng, len(boxes), len(batch), batch.images)
        row = torch.arange(len(batch), device=which.device)
        own, other = boxes[which, row], boxes[which, partner]
        matrix = box_to_box(other, own)
        place = inside(own, (batch.images.shape[2], batch.images.shape[3]))
        return paste(
            batch, partner, place, self.classes,
            images=affine(batch.images[partner], matrix), masks=affine(batch.masks[partner], matrix, "nearest"),
        )  # fmt: skip

    def mine(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(attributes, B, 4) boxes, the most discriminative first; squares that lie inside the picture."""
        size = (batch.images.shape[2], batch.images.shape[3])
        side = torch.tensor(max(1, round(self.config.side * min(size))), device=batch.images.device)
        left = batch.replace(images=batch.images.clone())
        hidden = torch.zeros_like(batch.masks, dtype=torch.bool)
        found = []
        for _ in range(self.config.attributes):
            maps = guide(self.config, class_map, model, left).masked_fill(hidden[:, 0], -1.0)
            y, x = peaks(maps)
            y, x = (
                place.clamp(int(side) // 2, end - int(side) + int(side) // 2)
                for place, end in ((y, size[0]), (x, size[1]))
            )
            found.append(clipped(y, x, side, side, size))
            hidden |= inside(found[-1], size)
            left.images.masked_fill_(hidden, 0.0)
        return torch.stack(found)
