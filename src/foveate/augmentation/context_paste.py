"""Context: another object of the class, pasted where the surroundings speak for the class."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from foveate.augmentation.background_swap import without_object
from foveate.augmentation.boxes import around
from foveate.augmentation.chance import Range, chosen, uniform
from foveate.augmentation.guidance import GuidedConfig, class_map, guide, same_class
from foveate.augmentation.objects import Blend, blended, cut, pose
from foveate.augmentation.pairs import Counts
from foveate.augmentation.snapmix import percent_maps
from foveate.core.progress import Progress
from foveate.data.batch import Batch


class ContextPaste:
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
        scale: Range = (0.8, 1.25)
        """Smallest and largest factor of the pasted object's size; our choice."""
        blends: tuple[Blend, ...] = Field(default=("none", "gaussian", "poisson"), min_length=1, max_length=8)
        """Kinds of edges, all equally likely."""

        def consumes(self) -> tuple[str, ...]:
            return ("masks",)

    def __init__(self, config: Config, counts: Counts) -> None:
        self.config = config

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
