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
    """{name: (n * B, C)}: further logits (or ``Network.vectors``) that the objective trains (a loss says ``on: name``),
    those of one picture in a row; absent where they are not computed."""
    taps: dict[str, torch.Tensor] = field(default_factory=dict)
    """{name: (B, K, h, w)}: feature maps that were asked for."""
    again: Callable[[torch.Tensor], torch.Tensor] | None = None
    """The same network on other pictures: (b, 3, H, W) normalised -> logits (b, C). None where there is no network
    (stored features). For terms that ask what the network says of a changed picture."""
    whole: torch.Tensor | None = None
    """(B, C): logits that belong to the taps of the whole picture, where ``logits`` do not (several passes)."""

    @property
    def local(self) -> torch.Tensor:
        """(B, C): the logits that belong to the taps of the whole picture; class maps are of these."""
        return self.logits if self.whole is None else self.whole
