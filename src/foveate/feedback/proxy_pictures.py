"""How a proxy is made of a picture and a map: where it is changed, and into what."""

from typing import Literal

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

Rule = Literal["blended", "draft", "mean", "max", "min", "half_max"]
Region = Literal["salient", "least_salient", "random"]


def placed(maps: torch.Tensor, region: Region, rng: np.random.Generator) -> torch.Tensor:
    """The values of each map (B, H, W) elsewhere in it, so that as many are above any threshold as before.

    salient: as they are. least_salient: the largest where the smallest were, ties falling to where the surroundings
    (a Gaussian of an eighth of the side) are smallest. random: the whole map moved by a random step; what leaves at one
    side comes in at the other.
    """
    if region == "salient":
        return maps
    moved = torch.empty_like(maps)
    for place, found in enumerate(maps):
        if region == "random":
            shift = [int(rng.integers(side)) for side in found.shape]
            moved[place] = torch.roll(found, shift, dims=(0, 1))
        else:
            values = found.cpu().numpy()
            around = gaussian_filter(values, min(values.shape) / 8)
            order = torch.from_numpy(np.lexsort((around.ravel(), values.ravel()))).to(maps.device)
            moved[place].view(-1)[order] = found.flatten().sort(descending=True).values
    return moved


def changed(
    images: torch.Tensor,
    maps: torch.Tensor,
    rule: Rule,
    weight: float,
    threshold: float,
    fill: float | None = None,
) -> torch.Tensor:
    """Proxies (B, 3, H, W) uint8 of ``images`` (B, 3, H, W) uint8, changed where ``maps`` (B, H, W) in [0, 1] are high.

    With M a map and x its picture: blended (1 - weight M) x where M > threshold; draft ((1 - weight) M) x where
    M >= threshold; otherwise, where M > threshold, one value a picture: the mean, maximum, minimum or half the maximum
    of its bytes, or ``fill``.
    """
    maps, pixels = maps[:, None], images.float()
    inside = maps >= threshold if rule == "draft" else maps > threshold
    if rule == "blended":
        others = (1 - weight * maps) * pixels
    elif rule == "draft":
        others = (1 - weight) * maps * pixels
    else:
        values = statistic(pixels.flatten(1), rule) if fill is None else torch.tensor(fill)
        others = values.to(pixels).view(-1, 1, 1, 1)
    return torch.where(inside, others, pixels).round().clamp(0, 255).byte()


def statistic(values: torch.Tensor, rule: Rule) -> torch.Tensor:
    """(B,) what ``rule`` fills with, of ``values`` (B, n)."""
    if rule == "mean":
        return values.mean(dim=1)
    if rule == "min":
        return values.amin(dim=1)
    return values.amax(dim=1) * (0.5 if rule == "half_max" else 1.0)
