"""Adaptive-whitening saliency: what is rare in a picture, without any network."""

import math

import torch
from torch.nn import functional

from foveate.explanation.baselines import blurred
from foveate.explanation.maps import min_max, upsample

SIDE = 64
"""Side in pixels at which filters run."""
WAVES = (4.0, 8.0, 16.0, 32.0)
"""Wavelengths of the filters, in pixels."""
TURNS = 4
"""Directions."""
BLUR = 2.0
"""Standard deviation of the blur at the end, in pixels."""


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
    responses = torch.fft.ifft2(spectrum * log_gabors().to(images.device)).abs()  # (B, C, turns, waves, S, S)
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


def log_gabors() -> torch.Tensor:
    """(turns, waves, S, S): filters in the frequency domain, each for one direction, its response complex."""
    down, across = torch.meshgrid(torch.fft.fftfreq(SIDE), torch.fft.fftfreq(SIDE), indexing="ij")
    radius, angle = torch.hypot(down, across), torch.atan2(down, across)
    radius[0, 0] = 1.0
    filters = []
    for turn in range(TURNS):
        off = angle - math.pi * turn / TURNS
        spread = torch.exp(-(torch.atan2(off.sin(), off.cos()) ** 2) / (2 * (math.pi / TURNS / 1.5) ** 2))
        filters.append(
            [torch.exp(-((radius * wave).log() ** 2) / (2 * math.log(0.55) ** 2)) * spread for wave in WAVES]
        )
    stacked = torch.stack([torch.stack(row) for row in filters])
    stacked[..., 0, 0] = 0  # no response to what is the same everywhere
    return stacked
