"""Intra-class part swapping: the attentive part of another picture of the class in the place of one's own."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.boxes import around, inside
from foveate.augmentation.guidance import GuidedConfig, class_map, guide, same_class
from foveate.augmentation.mixing import Mix
from foveate.augmentation.pairs import paste
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
