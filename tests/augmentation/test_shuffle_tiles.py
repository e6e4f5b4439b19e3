"""Shuffled tiles: nothing is lost, masks go along, what does not divide stays."""

import numpy as np
import torch
from torch import nn

from foveate.augmentation.grids import ShuffleTiles, shuffled
from foveate.core.progress import Progress
from foveate.data.batch import Batch


def test_place_k_holds_the_tile_it_is_told() -> None:
    values = torch.arange(2 * 3 * 7 * 9.0).view(2, 3, 7, 9)
    order = torch.tensor([[3, 0, 1, 2], [0, 2, 1, 3]])
    found, expected = shuffled(values, order, 2), values.clone()
    for number, tiles in enumerate(order.tolist()):
        for place, tile in enumerate(tiles):
            (y, x), (v, u) = divmod(place, 2), divmod(tile, 2)
            part = values[number, :, 3 * v : 3 * v + 3, 4 * u : 4 * u + 4]
            expected[number, :, 3 * y : 3 * y + 3, 4 * x : 4 * x + 4] = part
    assert torch.equal(found, expected)
    assert torch.equal(found[:, :, 6], values[:, :, 6])


def test_some_pictures_are_shuffled_each_in_its_own_way() -> None:
    images = torch.arange(64.0).view(1, 1, 8, 8).repeat(40, 3, 1, 1)
    batch = Batch(
        images.clone(), torch.zeros(40, dtype=torch.long), images[:, :1] / 64,
        torch.ones(40, dtype=torch.bool), torch.arange(40),
    )  # fmt: skip
    transform = ShuffleTiles(ShuffleTiles.Config(p=0.5, grids=(4,)), [40])
    found = transform(batch, nn.Identity(), np.random.default_rng(0), Progress())
    assert torch.equal(found.masks * 64, found.images[:, :1])
    assert torch.equal(found.images.flatten(1).sort().values, images.flatten(1).sort().values)
    same = sum(torch.equal(one, other) for one, other in zip(found.images, images, strict=True))
    assert 10 <= same <= 30
    assert len({tuple(image.flatten().tolist()) for image in found.images}) == 40 - same + 1
