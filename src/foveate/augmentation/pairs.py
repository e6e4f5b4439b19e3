"""What transforms that mix two pictures share: soft labels and masks of the mixture."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from foveate.core.errors import ConfigError
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


def mix_targets(targets: torch.Tensor, partner: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """share * own + (1 - share) * partner's: targets (B, C), partner (B,) int64, share (B,) in [0, 1]."""
    return weigh_targets(targets, partner, share, 1 - share)


def partner_of(batch: Batch, rng: np.random.Generator) -> torch.Tensor:
    """(B,) int64, one random permutation of the batch; a picture may be its own partner."""
    return torch.from_numpy(rng.permutation(len(batch))).to(batch.images.device)


def weigh_targets(
    targets: torch.Tensor, partner: torch.Tensor, own: torch.Tensor, other: torch.Tensor
) -> torch.Tensor:
    """own * targets + other * the partner's: weights (B,) that need not sum to 1 (SnapMix)."""
    return targets * own.to(targets)[:, None] + targets[partner] * other.to(targets)[:, None]


def paste(
    batch: Batch,
    partner: torch.Tensor,
    place: torch.Tensor,
    classes: int,
    *,
    images: torch.Tensor | None = None,
    masks: torch.Tensor | None = None,
    weights: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> Batch:
    """Own where ``place`` is 0, the partner's where it is 1, blended in between. Images and masks in place.

    The mask of the mixture is known where both are, and where nothing was pasted.

    Args:
        place: (B, 1, H, W) bool, or float in [0, 1].
        images, masks: what is pasted, where it is not the partner's picture (B, 3, H, W) and mask as they are.
        weights: (own, partner's), (B,) each, of the labels; None: by area.
    """
    targets = soft_targets(batch, classes)
    place = place.to(batch.images)
    other = place.mean(dim=(1, 2, 3))
    own, others = weights or (1 - other, other)
    batch.images.lerp_(batch.images[partner] if images is None else images, place)
    batch.masks.lerp_(batch.masks[partner] if masks is None else masks, place)
    return batch.replace(
        targets=weigh_targets(targets, partner, own, others),
        has_mask=batch.has_mask & (batch.has_mask[partner] | (other == 0)),
    )


def both_masks(batch: Batch, partner: torch.Tensor) -> torch.Tensor:
    """(B,) bool: where the mask of the mixture is known, which takes both masks."""
    return batch.has_mask & batch.has_mask[partner]
