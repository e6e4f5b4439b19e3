"""What the tests of batch transforms share: batches whose pixels tell where they come from."""

from typing import Any

import numpy as np
import torch
from torch import nn

from foveate.augmentation import TRANSFORMS
from foveate.core.progress import Progress
from foveate.data.batch import Batch
from foveate.models.build import build_network
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig

COUNTS = (5, 3, 1)
MODEL = nn.Identity()


def told(count: int = 6, height: int = 10, width: int = 14) -> Batch:
    """Picture k is k + 1 everywhere and labelled k mod 3; its mask is (k + 1) / count; pictures 0 and 3 have none."""
    value = torch.arange(1, count + 1, dtype=torch.float32).view(-1, 1, 1, 1)
    has_mask = torch.arange(count) % 3 != 0
    masks = (value / count).repeat(1, 1, height, width) * has_mask.view(-1, 1, 1, 1)
    images = value.repeat(1, 3, height, width)
    return Batch(images, torch.arange(count) % 3, masks, has_mask, torch.arange(count))


def places(count: int = 4, height: int = 24, width: int = 20, seed: int = 0) -> Batch:
    """Channels: the row and the column in [-1, 1], and noise of each picture; the mask is the noise in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    row = torch.linspace(-1, 1, height).view(1, -1, 1).expand(count, height, width)
    column = torch.linspace(-1, 1, width).view(1, 1, -1).expand(count, height, width)
    noise = torch.rand(count, height, width, generator=generator)
    images = torch.stack([row, column, noise], dim=1).contiguous()
    masks = noise[:, None].clone()
    return Batch(images, torch.arange(count) % 3, masks, torch.ones(count).bool(), torch.arange(count))


def apply(
    kind: str, batch: Batch, seed: int = 0, progress: Progress | None = None, model: nn.Module = MODEL, **settings: Any
) -> Batch:  # fmt: skip
    """The transform of this kind on a copy of the batch."""
    transform = TRANSFORMS.build(TRANSFORMS[kind].Config(**settings), COUNTS)
    names = ("images", "targets", "masks", "has_mask", "index")
    copy = batch.replace(**{name: getattr(batch, name).clone() for name in names})
    return transform(copy, model, np.random.default_rng(seed), progress or Progress())


def network(size: int = 32, classes: int = 3) -> Network:
    """A small one with a linear head on pooled maps, in training mode."""
    config = ModelConfig(backbone="foveate_small_cnn", weights="none")
    return build_network(config, classes=classes, size=size, seed=0)
