"""How alike two maps are: rank correlation, structural similarity, shared highest places."""

from dataclasses import dataclass

import numpy as np
import torch

from foveate.explanation.maps import min_max, upsample

SSIM_SIDE = 32
"""Side in pixels at which SSIM compares: its windows of 7 pixels need room that a map of 7 x 7 does not have."""


@dataclass(frozen=True)
class Similarity:
    """Of two sets of maps, (B,) each. NaN where both maps are constant; 0 where one is."""

    spearman: torch.Tensor
    """Rank correlation of the values with their signs."""
    absolute: torch.Tensor
    """Rank correlation of the absolute values."""
    ssim: torch.Tensor
    """Structural similarity (Wang et al., 2004) of the absolute values stretched to [0, 1]."""


def similarity(one: torch.Tensor, other: torch.Tensor) -> Similarity:
    """Compare maps (B, h, w) with maps of the same shape."""
    return Similarity(spearman(one, other), spearman(one.abs(), other.abs()), ssim(one.abs(), other.abs()))


def spearman(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(B,) rank correlation over the places of (B, h, w), ties with their mean rank."""
    ranks = (mean_ranks(maps.flatten(1)) for maps in (one, other))
    a, b = (found - found.mean(dim=1, keepdim=True) for found in ranks)
    product = (a * b).sum(dim=1)
    size = a.norm(dim=1) * b.norm(dim=1)
    found = torch.where(size > 0, product / torch.where(size > 0, size, 1.0), 0.0)
    constant = (a.norm(dim=1) == 0) & (b.norm(dim=1) == 0)
    return torch.where(constant, torch.nan, found).float()


def mean_ranks(values: torch.Tensor) -> torch.Tensor:
    """(B, N) float64 from 1 on, ties with their mean rank."""
    ascending, values = values.sort(dim=1).values.contiguous(), values.contiguous()
    low, high = torch.searchsorted(ascending, values), torch.searchsorted(ascending, values, right=True)
    return (low + high + 1).double() / 2


def ssim(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(B,) of maps (B, h, w), enlarged to at least SSIM_SIDE pixels; scikit-image's, window 7."""
    from skimage.metrics import structural_similarity

    size = (max(one.shape[1], SSIM_SIDE), max(one.shape[2], SSIM_SIDE))
    a, b = (min_max(upsample(maps, size)).cpu().numpy() for maps in (one, other))
    found = []
    for x, y in zip(a, b, strict=True):
        if not x.any() or not y.any():
            found.append(np.nan if not x.any() and not y.any() else 0.0)
        else:
            found.append(float(structural_similarity(x, y, data_range=1.0)))
    return torch.tensor(found, device=one.device)


def top_overlap(one: torch.Tensor, other: torch.Tensor, share: float = 0.1) -> torch.Tensor:
    """(B,) share of the highest places of ``one`` (a tenth of them, by absolute value) that are so in ``other``.

    Chance is ``share``. NaN where ``one`` is constant. Ghorbani et al. take 1000 of 224 x 224, a fiftieth, which at the
    resolution of class maps would be a single place.
    """
    a, b = one.flatten(1).abs(), other.flatten(1).abs()
    count = max(1, round(share * a.shape[1]))
    best_a, best_b = (highest(values, count) for values in (a, b))
    found = (best_a & best_b).sum(dim=1) / count
    return torch.where(a.amax(dim=1) > a.amin(dim=1), found, torch.nan)


def highest(values: torch.Tensor, count: int) -> torch.Tensor:
    """(B, N) bool: which are the ``count`` highest of each row."""
    chosen = torch.zeros_like(values, dtype=torch.bool)
    return chosen.scatter_(1, values.topk(count, dim=1).indices, True)
