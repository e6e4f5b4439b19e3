"""Is the object found: boxes of networks that look for it (MMAL-Net), against the masks."""

from typing import Literal

import numpy as np
import torch

from foveate.augmentation.boxes import around
from foveate.core import (
    config,
    torchvision_guard,  # noqa: F401
)
from foveate.data.batch import Batch
from foveate.evaluation.evaluators.evaluator import Evaluator

from torchvision.ops import box_iou  # isort: skip

COLUMNS = ("box_iou", "box_found", "box_found_whole", "box_found_centre")
FOUND = 0.5
"""Smallest IoU of a box that counts as found."""
CENTRE = 0.5**0.5
"""Side of the centred box, as a share of the picture's: half of its area."""


class ObjectBox(Evaluator):
    """IoU of the network's box of the object with the box around the mask, and whether it is at least a half.

    Beside it what two boxes reach that ask no network: the whole picture, and half of it around the middle. Networks
    that look for no object have none of these columns; a picture without a mask or with an empty one has no value.
    """

    class Config(config.Config):
        kind: Literal["object_box"] = "object_box"

    def wants(self, rows: np.ndarray) -> bool:
        looks = hasattr(self.subject.model, "object_of")
        return looks and any(self.subject.catalog.samples[row].mask for row in rows)

    def values(self, batch: Batch) -> dict[str, np.ndarray]:
        model = self.subject.model
        prepared = batch.prepare(self.subject.device, model.mean, model.std)
        with torch.no_grad():
            boxes = model.object_of(prepared.images)[1]
        boxes[:, 2:] += 1  # the last row and column are inside
        height, width = prepared.images.shape[2:]
        inside = (prepared.masks >= 0.5) & prepared.has_mask.view(-1, 1, 1, 1)
        objects = around(inside).to(boxes)
        margin = (1 - CENTRE) / 2
        whole = boxes.new_tensor([[0, 0, height, width]])
        centre = whole * (1 - margin) + whole.roll(2) * margin
        iou = box_iou(boxes, objects).diagonal()
        given = [box_iou(objects, box)[:, 0] for box in (whole, centre)]
        found = torch.stack([iou, iou >= FOUND, *(other >= FOUND for other in given)], dim=1).float()
        found[~inside.flatten(1).any(dim=1)] = torch.nan
        return dict(zip(COLUMNS, found.T.cpu().numpy(), strict=True))
