"""Random numbers for the pictures of a batch, as tensors on its device."""

import math

import numpy as np
import torch
from pydantic import AfterValidator, ValidationInfo

Range = tuple[float, float]
"""Smallest and largest value."""


def within(most: float, *, zero: bool = False) -> AfterValidator:
    """Of a ``Range`` between 0 and ``most``, the smaller value first; 0 itself only with ``zero``."""

    def check(value: Range, info: ValidationInfo) -> Range:
        if not (zero or value[0] > 0) or not 0 <= value[0] <= value[1] <= most:
            limits = f"lie in {'[' if zero else '('}0, {most:g}]" if most < math.inf else "be above 0"
            raise ValueError(f"{info.field_name} must {limits}, the smaller value first")
        return value

    return AfterValidator(check)


def uniform(rng: np.random.Generator, bounds: Range, count: int, like: torch.Tensor) -> torch.Tensor:
    """(count,) uniform in the bounds, of the type and on the device of ``like``."""
    return torch.from_numpy(rng.uniform(*bounds, count)).to(like)


def log_uniform(rng: np.random.Generator, bounds: Range, count: int, like: torch.Tensor) -> torch.Tensor:
    """(count,) whose logarithm is uniform; bounds above 0."""
    return torch.from_numpy(np.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1]), count))).to(like)


def whole(rng: np.random.Generator, end: int, count: int, like: torch.Tensor) -> torch.Tensor:
    """(count,) int64 uniform in 0 .. end - 1."""
    return torch.from_numpy(rng.integers(end, size=count)).to(like.device)


def chosen(rng: np.random.Generator, p: float, count: int, like: torch.Tensor) -> torch.Tensor:
    """(count, 1, 1, 1) bool: each True with probability ``p``."""
    return torch.from_numpy(rng.random(count) < p).to(like.device).view(-1, 1, 1, 1)


def noise(rng: np.random.Generator, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Standard normal, drawn on the device: normalised pictures have about unit variance."""
    generator = torch.Generator(like.device).manual_seed(int(rng.integers(2**62)))
    return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)
