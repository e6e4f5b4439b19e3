"""Second derivatives: losses on gradients (class maps, gradients of the picture) need them of the whole network.

PyTorch (2.13) lacks them for two operators that timm's networks use; both have an equal that can be differentiated
again. So has a vector's direction.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


class HardSigmoid(nn.Module):
    """relu6(x + 3) / 6: the values of ``nn.Hardsigmoid`` bit for bit in single precision, in any shape."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape -> the same shape, in [0, 1]."""
        return nn.functional.relu6(x + 3) / 6


def directions(vectors: torch.Tensor) -> torch.Tensor:
    """(B, F, ...) of length 1 along F; 0 stays 0, where the second derivative of a norm is not a number."""
    squares = vectors.float().square().sum(dim=1, keepdim=True)
    return (vectors * (squares + 1e-6).rsqrt()).to(vectors)


def differentiable_twice(network: nn.Module) -> None:
    """Exchange, in place, every ``nn.Hardsigmoid`` (the gates of MobileNetV3 and its kin); it has no parameters."""
    for module in network.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Hardsigmoid):
                setattr(module, name, HardSigmoid())


@contextmanager
def unfused_attention(wanted: bool = True) -> Iterator[None]:
    """Inside the block attention runs step by step: slower, but it can be differentiated twice."""
    if not wanted:
        yield
        return
    with sdpa_kernel(SDPBackend.MATH):
        yield
