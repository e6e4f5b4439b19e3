"""Graph-based visual saliency: what stands out in a picture, without any network."""

import math

import torch
from torch.nn import functional

from foveate.explanation.maps import min_max, upsample

GRID = 24
"""Longer side of the grid on which pixels are compared."""
NEAR, NEARER = 0.15, 0.06
"""Standard deviations of the Gaussian over distances, as shares of the grid: of the two chains."""
TURNS = 4
"""Directions of edges."""


def graph_saliency(images: torch.Tensor) -> torch.Tensor:
    """(B, H, W) in [0, 1] for pictures (B, 3, H, W): where colour, intensity or the direction of edges is unlike what
    lies around it.

    For each feature map M two Markov chains walk over the cells of a small grid: from i to j with weight
    |M_i - M_j| F_ij, F a Gaussian of their distance, then with A_j F_ij for the equilibrium A of the first, which draws
    the mass together. Both chains are reversible, so their equilibria are known: sum_j |M_i - M_j| F_ij and
    A_i sum_j A_j F_ij, up to a factor. The map is the mean over the features of the second.

    Source: Harel, Koch & Perona, NIPS 2006. Simplified: one scale; |M_i - M_j| in place of |log M_i / M_j|, as in the
    authors' code; colours as the network gets them.
    """
    size = (images.shape[2], images.shape[3])
    height, width = (max(2, round(GRID * side / max(size))) for side in size)
    small = functional.interpolate(images.float(), (2 * height, 2 * width), mode="area")
    maps = functional.adaptive_avg_pool2d(features(small), (height, width))  # (B, M, h, w)
    maps = min_max(maps.flatten(0, 1)).view_as(maps)  # a factor does not matter, and what is flat becomes 0
    far = squared_distances(height, width).to(images.device) / max(height, width) ** 2  # (N, N)
    near, nearer = (torch.exp(-far / (2 * sigma**2)) for sigma in (NEAR, NEARER))
    unlike = [((m[:, :, None] - m[:, None]).abs() * near).sum(dim=-1) for m in maps.flatten(2).unbind(dim=1)]
    first = _shares(torch.stack(unlike, dim=1))  # (B, M, N)
    second = _shares(first * (first @ nearer))
    return min_max(upsample(second.mean(dim=1).unflatten(1, (height, width)), size))


def features(images: torch.Tensor) -> torch.Tensor:
    """(B, 7, H, W): intensity, red against green, blue against yellow, and edges in four directions."""
    channels = list(images.unbind(dim=1)) * 3  # of one channel: no colours
    red, green, blue = channels[:3]
    grey = images.mean(dim=1)
    padded = functional.pad(grey[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    angles = [math.pi * k / TURNS for k in range(TURNS)]
    edges = [(math.cos(a) * across + math.sin(a) * down).abs() for a in angles]
    return torch.stack([grey, red - green, blue - (red + green) / 2, *edges], dim=1)


def squared_distances(height: int, width: int) -> torch.Tensor:
    """(N, N) between the cells of a grid, row by row."""
    cells = torch.cartesian_prod(torch.arange(height), torch.arange(width)).float()
    return torch.cdist(cells, cells).square()


def _shares(values: torch.Tensor) -> torch.Tensor:
    """Made to sum to 1 over the last axis, unless all is 0."""
    return values / values.sum(dim=-1, keepdim=True).clamp(min=1e-12)
