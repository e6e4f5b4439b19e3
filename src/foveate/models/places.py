"""Every place of a picture by the feature maps that a backbone makes of it: what tells object from background."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from foveate.models.taps import capture_taps

LEVELS = 4
"""Feature maps that are looked at: stages of a convolutional network, blocks of a transformer, spread evenly."""


def spread_stages(backbone: Any) -> tuple[str, ...]:
    """Names of ``LEVELS`` stages of timm's backbone, or of all where there are fewer."""
    listed = np.linspace(0, len(backbone.feature_info) - 1, LEVELS).round().astype(int)
    return tuple(dict.fromkeys(f"stage:{k}" for k in listed))


def place_features(backbone: Any, images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) normalised -> (B, F, H / 4, W / 4) float32: the maps of ``spread_stages`` and the mean colour; no
    gradient. The backbone is in the mode that the caller wants."""
    stages = spread_stages(backbone)
    with torch.no_grad(), capture_taps(backbone, stages, images) as maps:
        backbone.forward_features(images)
    side = (max(1, images.shape[2] // 4), max(1, images.shape[3] // 4))
    large = [
        F.interpolate(maps[stage].float(), side, mode="bilinear", align_corners=False) for stage in stages
    ]
    return torch.cat([*large, F.adaptive_avg_pool2d(images, side)], dim=1)
