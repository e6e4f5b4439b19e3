"""Maps that know nothing of the network. A method that scores like one of them has shown nothing."""

import torch
from torch.nn import functional

from foveate.core.rng import key
from foveate.explanation.graph_saliency import graph_saliency
from foveate.explanation.maps import min_max, upsample
from foveate.explanation.whitening_saliency import whitening_saliency

CENTRE_SIGMA = 0.25
"""Standard deviation of the centred Gaussian, as a share of each side."""

GRID = 7
"""Cells along a side of a random map: as coarse as the class maps of most networks at 224 px."""


def centred_gaussian(height: int, width: int, sigma: float = CENTRE_SIGMA) -> torch.Tensor:
    """(H, W) map exp(-(y² + x²) / 2 sigma²), y and x from the centre as shares of the sides."""
    y = (torch.arange(height, dtype=torch.float32) + 0.5) / height - 0.5
    x = (torch.arange(width, dtype=torch.float32) + 0.5) / width - 0.5
    return torch.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (2 * sigma**2))


def random_maps(names: list[str] | range, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """(B, H, W) in [0, 1]: noise of GRID x GRID cells, enlarged as class maps are. Picture ``names[i]`` always gets
    the same map."""
    noise = [
        torch.rand(GRID, GRID, generator=torch.Generator().manual_seed(key(seed, "random map", name)))
        for name in names
    ]
    return min_max(upsample(torch.stack(noise), size))


def edge_maps(images: torch.Tensor) -> torch.Tensor:
    """(B, H, W) in [0, 1]: strength of the Sobel gradient, the mean over the channels of (B, 3, H, W).

    The control of Adebayo et al. (2018): many explanations look like it and say no more.
    """
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], device=images.device)
    kernels = torch.stack([across, across.T])[:, None]  # (2, 1, 3, 3)
    grey = functional.pad(images.float().mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return min_max(functional.conv2d(grey, kernels).square().sum(dim=1).sqrt())


def control_maps(
    images: torch.Tensor, names: list[str] | range | None = None, seed: int = 0
) -> dict[str, torch.Tensor]:
    """{control: (B, H, W) in [0, 1]} for pictures (B, 3, H, W): a random map, a centred Gaussian, edges, and two models
    of what the eye is drawn to.

    ``names``: of the pictures, by which the random maps are drawn; None: their place in the batch.
    """
    size = (images.shape[2], images.shape[3])
    return {
        "random map": random_maps(names or range(len(images)), size, seed).to(images.device),
        "centred Gaussian": centred_gaussian(*size).to(images.device).expand(len(images), *size),
        "edges": edge_maps(images),
        "graph saliency": graph_saliency(images),
        "whitening saliency": whitening_saliency(images),
    }
