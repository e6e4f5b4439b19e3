"""What transforms that mix the pictures of a batch share: how often they act, soft labels, masks of the mixture."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from foveate.core.config import Config
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.data.batch import Batch

Counts = Sequence[int]
"""(C,) training pictures a class, in label order."""


def soft_targets(batch: Batch, classes: int) -> torch.Tensor:
    """(B, C) float32 from hard or already mixed targets.

    Raises:
        ConfigError: a picture without a label.
    """
    if batch.targets.is_floating_point():
        return batch.targets
    if bool((batch.targets < 0).any()):
        raise ConfigError("Labels cannot be mixed with those of unlabelled pictures; train on labelled ones.")
    return F.one_hot(batch.targets, classes).float()


def partner_of(batch: Batch, rng: np.random.Generator) -> torch.Tensor:
    """(B,) int64, one random permutation of the batch; a picture may be its own partner."""
    return torch.from_numpy(rng.permutation(len(batch))).to(batch.images.device)


def mixed(
    batch: Batch,
    partner: torch.Tensor,
    own: torch.Tensor | float,
    classes: int,
    *,
    other: torch.Tensor | None = None,
    untouched: torch.Tensor | None = None,
) -> Batch:
    """The batch with the labels and the known masks of a mixture.

    Args:
        own: of the own label, (B,) or one for all; the partner's has the rest, unless
        other: (B,) says otherwise; both need not sum to 1 (SnapMix).
        untouched: (B,) bool: nothing of the partner is there, so that its mask need not be known.
    """
    targets = soft_targets(batch, classes)
    share = torch.as_tensor(own).to(targets).expand(len(batch))[:, None]
    rest = 1 - share if other is None else other.to(targets)[:, None]
    known = batch.has_mask[partner]
    return batch.replace(
        targets=targets * share + targets[partner] * rest,
        has_mask=batch.has_mask & (known if untouched is None else known | untouched),
    )


def paste(
    batch: Batch,
    partner: torch.Tensor,
    place: torch.Tensor,
    classes: int,
    *,
    images: torch.Tensor | None = None,
    masks: torch.Tensor | None = None,
) -> Batch:
    """Own where ``place`` is 0, the partner's where it is 1, blended in between; labels by area. In place.

    The mask of the mixture is known where both are, and where nothing was pasted.

    Args:
        place: (B, 1, H, W) bool, or float in [0, 1].
        images, masks: what is pasted, where it is not the partner's picture (B, 3, H, W) and mask as they are.
    """
    place = place.to(batch.images)
    other = place.mean(dim=(1, 2, 3))
    batch.images.lerp_(batch.images[partner] if images is None else images, place)
    batch.masks.lerp_(batch.masks[partner] if masks is None else masks, place)
    return mixed(batch, partner, 1 - other, classes, untouched=other == 0)


class Transform:
    """Base of all: keeps its settings."""

    Config: ClassVar[Any]

    def __init__(self, config: Any, counts: Counts = ()) -> None:
        self.config, self.classes = config, len(counts)


class MixConfig(Config):
    """Settings that all of them have."""

    p: float = Field(default=1.0, ge=0, le=1)
    """Probability for each batch."""


class Mix(Transform):
    """Base: acts on a whole batch or leaves it as it is."""

    def __call__(self, batch: Batch, model: nn.Module, rng: np.random.Generator, progress: Progress) -> Batch:
        return self.mix(batch, model, rng) if rng.random() < self.config.p else batch

    def mix(self, batch: Batch, model: nn.Module, rng: np.random.Generator) -> Batch:
        """The mixture, of a batch on which the transform acts."""
        raise NotImplementedError
