"""What all maps share: their scale, their size, and Grad-CAM's formula. Differentiable throughout."""

import torch
from torch.nn import functional

FLAT = 1e-5
"""A map that varies by less than this share of its largest value is constant: what is left is rounding."""


def min_max(maps: torch.Tensor) -> torch.Tensor:
    """Each map (B, h, w) stretched to [0, 1]; a constant map becomes 0 and gets no gradient."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    varies = high - low > FLAT * torch.maximum(high.abs(), low.abs())
    return torch.where(varies, (maps - low) / torch.where(varies, high - low, 1.0), 0.0)


def upsample(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(B, h, w) -> (B, H, W) float32, bilinear, pixel centres aligned as areas (align_corners=False)."""
    if maps.shape[1:] == size:
        return maps.float()
    return functional.interpolate(maps[:, None].float(), size=size, mode="bilinear", align_corners=False)[
        :, 0
    ]


def grad_cam(features: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """ReLU(sum_k a_k A^k) with a_k the mean over places of dS/dA^k: (B, K, h, w) twice -> (B, h, w) >= 0.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017.
    """
    return (gradients.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu()
