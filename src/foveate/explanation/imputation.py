"""Fill missing pixels from their neighbours, for ROAD: a linear system for each picture and mask, solved in batches.

Each missing pixel is the weighted mean of its eight neighbours (1/6 beside, 1/12 across; outside the picture there is
no neighbour), known pixels are fixed: Rong et al., "A consistent and efficient evaluation strategy for attribution
methods", ICML 2022. That is a discrete Poisson equation, so conjugate gradients with one multigrid cycle as
preconditioner need a handful of steps at any size, on any device, where a sparse factorisation for each picture takes
longer than the network.
"""

import torch
from torch.nn import functional

SMALLEST = 4
"""Side in pixels of the coarsest grid."""
DAMPING = 0.8
"""Of the Jacobi smoothing steps."""
STEPS = 100
"""Conjugate gradient steps at most."""
_TENT = torch.outer(torch.tensor([0.5, 1.0, 0.5]), torch.tensor([0.5, 1.0, 0.5]))


def impute(images: torch.Tensor, missing: torch.Tensor, tolerance: float = 3e-3) -> torch.Tensor:
    """Pictures (B, 3, H, W) with their ``missing`` (B, H, W) bool pixels filled; float32.

    Args:
        tolerance: norm of the residual as a share of the right hand side's. At the default the fill is about 0.001 off
            (pixels of standard deviation 1), ten times less than the noise that ROAD adds.

    A picture of which nothing is known becomes 0.
    """
    system = _System(missing[:, None])
    fixed = images.float().masked_fill(missing[:, None], 0)
    return torch.where(missing[:, None], system.solve(_neighbours(fixed), tolerance), fixed)


class _System:
    """(sum of weights - weighted neighbours) of the missing pixels, on grids that halve."""

    def __init__(self, missing: torch.Tensor) -> None:
        """``missing``: (B, 1, H, W) bool."""
        self.free = [missing.float()]
        while min(self.free[-1].shape[-2:]) > SMALLEST:
            self.free.append(self.free[-1][..., ::2, ::2].contiguous())
        self.degree = [_neighbours(torch.ones_like(free[:1])) for free in self.free]

    def apply(self, x: torch.Tensor, level: int = 0) -> torch.Tensor:
        return (self.degree[level] * x - _neighbours(x)) * self.free[level]

    def cycle(self, residual: torch.Tensor, level: int = 0) -> torch.Tensor:
        """One V-cycle: symmetric, as conjugate gradients want their preconditioner."""
        step = DAMPING / self.degree[level]
        residual = residual * self.free[level]
        x = step * residual
        if level == len(self.free) - 1:
            for _ in range(8):
                x = x + step * (residual - self.apply(x, level))
            return x
        coarse = self.cycle(_restrict(residual - self.apply(x, level)), level + 1)
        x = x + _prolong(coarse, x.shape[-2], x.shape[-1]) * self.free[level]
        return x + step * (residual - self.apply(x, level))

    def solve(self, right: torch.Tensor, tolerance: float) -> torch.Tensor:
        """``right``: (B, C, H, W); each channel is a system of its own."""
        residual = right * self.free[0]
        goal = tolerance * residual.flatten(2).norm(dim=2)
        x = torch.zeros_like(residual)
        direction = z = self.cycle(residual)
        product = _dot(residual, z)
        for _ in range(STEPS):
            applied = self.apply(direction)
            length = product / _dot(direction, applied).clamp(min=torch.finfo(x.dtype).tiny)
            x = x + length * direction
            residual = residual - length * applied
            if (residual.flatten(2).norm(dim=2) <= goal).all():
                break
            z = self.cycle(residual)
            before, product = product, _dot(residual, z)
            direction = z + product / before.clamp(min=torch.finfo(x.dtype).tiny) * direction
        return x


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum(dim=(2, 3), keepdim=True)


def _neighbours(x: torch.Tensor) -> torch.Tensor:
    """Weighted sum of the eight neighbours; [1 2 1] in both directions, less the centre. Slices beat a convolution of
    one channel by far on a CPU."""
    return _smooth(_smooth(x, -1), -2).add_(x, alpha=-4).div_(12)


def _smooth(x: torch.Tensor, dim: int) -> torch.Tensor:
    n = x.shape[dim]
    y = 2 * x
    y.narrow(dim, 0, n - 1).add_(x.narrow(dim, 1, n - 1))
    y.narrow(dim, 1, n - 1).add_(x.narrow(dim, 0, n - 1))
    return y


def _restrict(x: torch.Tensor) -> torch.Tensor:
    """The transpose of ``_prolong``; not divided, since the operator knows no spacing."""
    kernel = _TENT.to(x).expand(x.shape[1], 1, 3, 3)
    return functional.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


def _prolong(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bilinear, coarse pixels on the even fine ones."""
    odd = (1 - height % 2, 1 - width % 2)
    kernel = _TENT.to(x).expand(x.shape[1], 1, 3, 3)
    return functional.conv_transpose2d(x, kernel, stride=2, padding=1, output_padding=odd, groups=x.shape[1])
