"""Activations that can be differentiated twice, where torch's cannot.

Losses on class maps and input gradients are differentiated through a gradient. Torch has no second derivative of the
hard sigmoid, which the squeeze-and-excitation gates of MobileNetV3 use.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class _HardSigmoid(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(x)
        return F.hardsigmoid(x)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        # Plain operations, so that autograd can differentiate this backward pass in its turn.
        (x,) = context.saved_tensors
        return gradients[0] * ((x > -3) & (x < 3)).to(gradients[0].dtype) / 6


class HardSigmoid(nn.Module):
    """relu6(x + 3) / 6: values and gradients as torch.nn.Hardsigmoid, with a second derivative (zero)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape."""
        if torch.is_grad_enabled() and x.requires_grad:
            result: torch.Tensor = _HardSigmoid.apply(x)
            return result
        return F.hardsigmoid(x)


def twice_differentiable(network: nn.Module) -> nn.Module:
    """Replace, in place, every activation of ``network`` that torch can differentiate only once."""
    for name, child in network.named_children():
        if isinstance(child, nn.Hardsigmoid):
            setattr(network, name, HardSigmoid())
        else:
            twice_differentiable(child)
    return network
