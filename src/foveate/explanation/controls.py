"""Maps that know nothing of the network. A method that scores like one of them has shown nothing."""

import math

import torch
from torch.nn import functional

from foveate.core.rng import key
from foveate.explanation.baselines import blurred
from foveate.explanation.maps import min_max, upsample

CENTRE_SIGMA = 0.25
"""Standard deviation of the centred Gaussian, as a share of each side."""
RANDOM_GRID = 7
"""Cells along a side of a random map: as coarse as the class maps of most networks at 224 px."""
GRID = 24
"""Graph saliency: longer side of the grid on which pixels are compared."""
NEAR, NEARER = 0.15, 0.06
"""Standard deviations of the Gaussian over distances, as shares of the grid: of the two chains."""
TURNS = 4
"""Directions of edges, and of filters."""
SIDE = 64
"""Whitening saliency: side in pixels at which filters run."""
WAVES = (4.0, 8.0, 16.0, 32.0)
"""Wavelengths of the filters, in pixels."""
BLUR = 2.0
"""Standard deviation of the blur at the end, in pixels."""


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


def centred_gaussian(height: int, width: int, sigma: float = CENTRE_SIGMA) -> torch.Tensor:
    """(H, W) map exp(-(y² + x²) / 2 sigma²), y and x from the centre as shares of the sides."""
    y, x = ((torch.arange(side, dtype=torch.float32) + 0.5) / side - 0.5 for side in (height, width))
    return torch.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (2 * sigma**2))


def random_maps(names: list[str] | range, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """(B, H, W) in [0, 1]: noise of 7 x 7 cells, enlarged as class maps are. Picture ``names[i]`` always gets the same
    map."""
    generators = [torch.Generator().manual_seed(key(seed, "random map", name)) for name in names]
    noise = [torch.rand(RANDOM_GRID, RANDOM_GRID, generator=generator) for generator in generators]
    return min_max(upsample(torch.stack(noise), size))


def edge_maps(images: torch.Tensor) -> torch.Tensor:
    """(B, H, W) in [0, 1]: strength of the Sobel gradient, the mean over the channels of (B, 3, H, W).

    The control of Adebayo et al. (2018): many explanations look like it and say no more.
    """
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], device=images.device)
    kernels = torch.stack([across, across.T])[:, None]  # (2, 1, 3, 3)
    grey = functional.pad(images.float().mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return min_max(functional.conv2d(grey, kernels).square().sum(dim=1).sqrt())


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
    cells = torch.cartesian_prod(torch.arange(height), torch.arange(width)).float()
    far = torch.cdist(cells, cells).square().to(images.device) / max(height, width) ** 2  # (N, N)
    near, nearer = (torch.exp(-far / (2 * sigma**2)) for sigma in (NEAR, NEARER))
    unlike = [((m[:, :, None] - m[:, None]).abs() * near).sum(dim=-1) for m in maps.flatten(2).unbind(dim=1)]
    first = _shares(torch.stack(unlike, dim=1))  # (B, M, N)
    second = _shares(first * (first @ nearer))
    return min_max(upsample(second.mean(dim=1).unflatten(1, (height, width)), size))


def features(images: torch.Tensor) -> torch.Tensor:
    """(B, 7, H, W): intensity, red against green, blue against yellow, and edges in four directions."""
    red, green, blue = (list(images.unbind(dim=1)) * 3)[:3]  # of one channel: no colours
    grey = images.mean(dim=1)
    padded = functional.pad(grey[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    angles = [math.pi * k / TURNS for k in range(TURNS)]
    edges = [(math.cos(a) * across + math.sin(a) * down).abs() for a in angles]
    return torch.stack([grey, red - green, blue - (red + green) / 2, *edges], dim=1)


def _shares(values: torch.Tensor) -> torch.Tensor:
    """Made to sum to 1 over the last axis, unless all is 0."""
    return values / values.sum(dim=-1, keepdim=True).clamp(min=1e-12)


def whitening_saliency(images: torch.Tensor) -> torch.Tensor:
    """(B, H, W) in [0, 1] for pictures (B, 3, H, W): where colours and textures are far from the picture's own mean.

    The colours are whitened over the picture; each whitened colour goes through log-Gabor filters of four wavelengths
    and directions; the responses of the wavelengths are whitened too, and their squared length, which is Hotelling's T²
    (the squared Mahalanobis distance from the picture's mean), is summed over directions and colours.

    Source: Garcia-Diaz et al., Image and Vision Computing 30, 2012. Simplified: colours as the network gets them in
    place of CIE Lab, four wavelengths in place of seven, the same filters for all colours, 64 x 64 px.
    """
    small = functional.interpolate(images.float(), (SIDE, SIDE), mode="bilinear", antialias=True)
    colours = whitened(small.flatten(2)).view_as(small)
    spectrum = torch.fft.fft2(colours)[:, :, None, None]
    responses = torch.fft.ifft2(
        spectrum * _log_gabors().to(images.device)
    ).abs()  # (B, C, turns, waves, S, S)
    energy = whitened(responses.flatten(4)).square().sum(dim=(1, 2, 3)).unflatten(1, (SIDE, SIDE))
    energy = blurred(energy[:, None], BLUR)[:, 0]
    return min_max(upsample(energy, (images.shape[2], images.shape[3])))


def whitened(values: torch.Tensor) -> torch.Tensor:
    """(..., D, N): N points of D values, turned to their principal axes, mean 0 and variance 1 on each. An axis on
    which nothing varies (of a grey picture two of three) becomes 0."""
    centred = values.double() - values.double().mean(dim=-1, keepdim=True)
    variances, axes = torch.linalg.eigh(centred @ centred.transpose(-1, -2) / values.shape[-1])
    kept = variances > 1e-8 * variances[..., -1:].clamp(min=1e-8)
    scale = torch.where(kept, variances.clamp(min=1e-24).rsqrt(), 0.0)
    return (scale[..., None] * (axes.transpose(-1, -2) @ centred)).float()


def _log_gabors() -> torch.Tensor:
    """(turns, waves, S, S): filters in the frequency domain, each for one direction, its response complex."""
    down, across = torch.meshgrid(torch.fft.fftfreq(SIDE), torch.fft.fftfreq(SIDE), indexing="ij")
    radius, angle = torch.hypot(down, across), torch.atan2(down, across)
    radius[0, 0] = 1.0
    off = angle - (math.pi / TURNS * torch.arange(TURNS)).view(-1, 1, 1, 1)  # (turns, 1, S, S)
    spread = torch.exp(-(torch.atan2(off.sin(), off.cos()) ** 2) / (2 * (math.pi / TURNS / 1.5) ** 2))
    length = (radius * torch.tensor(WAVES).view(-1, 1, 1)).log()  # (waves, S, S)
    filters = spread * torch.exp(-(length**2) / (2 * math.log(0.55) ** 2))
    filters[..., 0, 0] = 0  # no response to what is the same everywhere
    return filters
