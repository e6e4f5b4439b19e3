"""Which tokens an attention is between: all of a plain transformer, or those of shifted windows that are merged (Swin).

A row (B, N) says how much of an answer comes from each token; ``back`` takes it through a layer, towards the picture.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
from timm.models.swin_transformer_v2 import PatchMerging as PatchMergingV2
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class AllTokens:
    """Attention between all N tokens."""

    def back(self, row: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        """row (B, N) times matrix (B, N, N)."""
        return (row[:, None] @ matrix)[:, 0]


@dataclass(frozen=True)
class Windows:
    """Attention within windows of a grid that is rolled by ``shift`` first, and padded where windows do not fit."""

    grid: tuple[int, int]
    window: tuple[int, int]
    shift: tuple[int, int]

    def back(self, row: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        """row (B, h w) times matrix (B windows, n, n), n tokens a window; what is padded takes part and is lost."""
        (h, w), (down, across) = self.grid, self.window
        rolled = row.unflatten(1, self.grid).roll((-self.shift[0], -self.shift[1]), (1, 2))
        padded = functional.pad(rolled, (0, -w % across, 0, -h % down))
        shape = (padded.shape[1] // down, down, padded.shape[2] // across, across)
        parts = (
            padded.unflatten(2, shape[2:]).unflatten(1, shape[:2]).transpose(2, 3)
        )  # (B, rows, columns, ...)
        moved = parts.reshape(-1, 1, down * across) @ matrix
        whole = moved.view(parts.shape).transpose(2, 3).reshape(padded.shape)[:, :h, :w]
        return whole.roll(self.shift, (1, 2)).flatten(1)


@dataclass(frozen=True)
class Merging:
    """Four neighbours become one token; each has a quarter of what it has."""

    grid: tuple[int, int]
    """Before."""

    def back(self, row: torch.Tensor) -> torch.Tensor:
        """row (B, of the merged) -> (B, h w)."""
        (h, w) = self.grid
        merged = row.unflatten(1, (-(-h // 2), -(-w // 2))) / 4
        return merged.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :h, :w].flatten(1)


@contextmanager
def windows_seen(network: nn.Module) -> Iterator[list[Windows | Merging]]:
    """The layers of a Swin transformer, in the order in which they are called inside the block; empty for others."""
    seen: list[Windows | Merging] = []

    def look(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        grid = (inputs[0].shape[1], inputs[0].shape[2])
        if isinstance(module, PatchMerging | PatchMergingV2):
            seen.append(Merging(grid))
        else:
            seen.append(Windows(grid, tuple(module.window_size), tuple(module.shift_size)))

    kinds = (SwinTransformerBlock, SwinTransformerV2Block, PatchMerging, PatchMergingV2)
    hooks = [m.register_forward_pre_hook(look) for m in network.modules() if isinstance(m, kinds)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
