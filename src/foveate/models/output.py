"""Output: what every network of ours returns."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Output:
    """One forward pass over B pictures."""

    logits: torch.Tensor
    """(B, C), what prediction uses."""
    branches: dict[str, torch.Tensor] = field(default_factory=dict)
    """{name: (b, C)}: further logits that the objective trains (fine-grained networks)."""
    taps: dict[str, torch.Tensor] = field(default_factory=dict)
    """{name: (B, K, h, w)}: feature maps that were asked for."""
    again: Callable[[torch.Tensor], torch.Tensor] | None = None
    """The same network on other pictures: (b, 3, H, W) normalised -> logits (b, C). None where there is no network
    (stored features). For terms that ask what the network says of a changed picture."""
