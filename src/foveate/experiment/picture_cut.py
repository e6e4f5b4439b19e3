"""One picture of a catalog -> its cut: from the middle, from its boxes, from where a run looks, from drawn masks."""

import numpy as np
import torch
from PIL import Image

from foveate.core.errors import DataError
from foveate.core.rng import key
from foveate.data.annotations import only_boxes, sample_mask
from foveate.data.batch import normalised
from foveate.data.catalog import UNLABELLED, Catalog, composed
from foveate.data.decode import open_image, read_image, upright_size
from foveate.data.grabcut import (
    Cut,
    ProposeConfig,
    boxes_of,
    cut,
    seeds_from_boxes,
    seeds_from_centre,
    seeds_from_map,
    working_size,
)
from foveate.data.square import resize, unfit
from foveate.evaluation.subject import pick_device
from foveate.experiment.learned_masks import LearnedMasks, cut_of
from foveate.experiment.run_folder import RunFolder
from foveate.explanation.maps import class_map


def cut_picture(
    row: int,
    catalog: Catalog,
    prior: str,
    config: ProposeConfig,
    maps: "ClassMaps | LearnedMasks | None" = None,
) -> tuple[tuple[int, int], Cut]:
    """(width, height) of the upright picture in ``row``, and what was found in it at the working size.

    Raises:
        DataError: the picture or its boxes cannot be read, or the prior marks nothing.
    """
    sample, file = catalog.samples[row], catalog.file(row)
    with open_image(file) as opened:
        size = upright_size(opened)
    width, height = working = working_size(size, config.side)
    side = max(config.side, maps.size if maps is not None else 0)
    picture = read_image(file, at_least=side)
    regions = None
    if prior == "centre":
        seeds = seeds_from_centre(height, width, config)
    elif prior == "box":
        mask = sample_mask(catalog, row)
        if mask is None:
            raise DataError(f"{sample.path} has no box.")
        inside = (
            np.asarray(mask) > 0 if only_boxes(catalog.root, sample.mask) else boxes_of(np.asarray(mask) > 0)
        )
        small = Image.fromarray(inside.astype(np.uint8) * 255).resize(working, Image.Resampling.BOX)
        regions = np.asarray(small) >= 128
        seeds = seeds_from_boxes(regions, config.box_core)
    else:
        assert maps is not None
        values = maps.of(row, picture, size, working)
        if isinstance(maps, LearnedMasks):
            return size, cut_of(np.asarray(picture.resize(working, Image.Resampling.BILINEAR)), values)
        seeds = seeds_from_map(values, config)
    image = np.asarray(picture.resize(working, Image.Resampling.BILINEAR))
    return size, cut(
        image, seeds, iterations=config.iterations, seed=key("grabcut", sample.path), regions=regions
    )


class ClassMaps:
    """Grad-CAM of a run for the pictures of a catalog, laid over the pictures."""

    def __init__(self, run: RunFolder, catalog: Catalog, tap: str | None, device: str) -> None:
        self.device = pick_device(device)
        self.model = run.model.to(self.device)
        self.size: int = run.environment["size"]
        self.fit = run.experiment.data.fit
        self.tap = tap or run.experiment.evaluation.look_tap
        index = {composed(name): i for i, name in enumerate(run.catalog.class_ids)}
        ids = (*map(composed, catalog.class_ids), "")  # of an unlabelled picture, -1, the last
        self.labels = [index.get(ids[s.label], UNLABELLED) for s in catalog.samples]

    def of(
        self, row: int, picture: Image.Image, size: tuple[int, int], target: tuple[int, int]
    ) -> np.ndarray:
        """(h, w) float32 >= 0 at ``target`` (width, height); NaN where the network does not see the picture.

        One picture at a time: in batches the last digits, and so a mask, could depend on the neighbours.
        """
        square = torch.from_numpy(np.array(resize(picture, self.size, self.fit)))  # (S, S, 3)
        images = normalised(square.permute(2, 0, 1)[None], self.device, self.model.mean, self.model.std)
        targets = torch.tensor([self.labels[row]], device=self.device)
        if self.labels[row] == UNLABELLED:
            with torch.no_grad():
                targets = self.model(images).logits.argmax(dim=1)
        values = class_map(self.model, images, targets, self.tap)[0].cpu().numpy()
        return unfit(values, size, self.fit, target, side=self.size)
