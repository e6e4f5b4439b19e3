"""What tokens read from each other: attention rollout, and attention weighted by gradients, for transformers.

Attention matrices are taken where PyTorch computes them (scaled_dot_product_attention, softmax), so the network is used
as it is.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
from timm.models.swin_transformer_v2 import PatchMerging as PatchMergingV2
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from foveate.core.errors import ConfigError
from foveate.explanation.explainer import PictureExplainer
from foveate.explanation.probe import Probe
from foveate.models.feature_maps import to_map
from foveate.models.networks import Network


class AttentionRollout(PictureExplainer):
    """Which patches reach the token (or tokens) that the classifier reads: the product over the blocks of attention
    matrices with the skip connections in them. It knows of no class.

    A' = rows of (1 - residual) A + residual I made to sum to 1, A fused over the heads; map = the readers' row of
    A'_L ... A'_1; in Swin A is of windows, and a merged token is the mean of its four.
    Source: Abnar & Zuidema, ACL 2020 (arXiv 2005.00928).
    """

    kind: Literal["attention_rollout"] = "attention_rollout"
    residual: float = Field(default=0.5, ge=0, lt=1)
    """Share of the skip connection."""
    heads: Literal["mean", "max", "min"] = "mean"
    """How the heads of a block become one matrix."""
    discard: float = Field(default=0.0, ge=0, lt=1)
    """Share of each picture's attentions, the smallest ones, that is set to 0 first; the first token's attention to
    itself is kept. It takes noise out where heads is max."""

    predicts = True

    def map(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            _, weights, layers = _attended(probe, images, self.kind)
        rolled = []
        for matrix in weights:
            fused = self._fused(matrix.detach().float(), len(images))
            mixed = (1 - self.residual) * fused
            mixed = mixed + self.residual * torch.eye(fused.shape[-1], device=fused.device)
            rolled.append(mixed / mixed.sum(dim=-1, keepdim=True))
        return _read(probe.backbone, images, layers, rolled, skip=False)

    def _fused(self, weights: torch.Tensor, pictures: int) -> torch.Tensor:
        """(B, heads, N, N) -> (B, N, N); of windows B is pictures times windows."""
        fused = {"mean": weights.mean(1), "max": weights.amax(1), "min": weights.amin(1)}[self.heads]
        if self.discard:
            flat = fused.reshape(pictures, -1)
            smallest = flat.topk(int(flat.shape[1] * self.discard), dim=1, largest=False).indices
            kept = torch.ones_like(flat).scatter_(1, smallest, 0.0)
            kept[:, 0] = 1  # the class token's attention to itself
            fused = (flat * kept).view_as(fused)
        return fused


class TransformerRelevance(PictureExplainer):
    """Attention weighted by its gradient, added up over the blocks: R = I, then R <- R + mean over heads of
    (A ⊙ dS/dA)+ R for each block; map = the readers' row of R. In Swin A is of windows, and a merged token is the mean
    of its four.

    Source: Chefer, Gur & Wolf, ICCV 2021 (arXiv 2103.15679), the rule for self-attention; shifted windows are ours.
    """

    kind: Literal["transformer_relevance"] = "transformer_relevance"

    def map(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            logits, weights, layers = _attended(probe, images.detach().requires_grad_(), self.kind)
            score = logits.gather(1, targets[:, None]).sum()
            gradients = torch.autograd.grad(score, weights, allow_unused=True)
        kept = []
        for matrix, gradient in zip(weights, gradients, strict=True):
            if gradient is None:
                raise ConfigError(
                    "transformer_relevance needs a prediction that depends on every attention of "
                    f"{type(probe.backbone).__name__}; use attention_rollout or lrp."
                )
            kept.append((matrix.detach() * gradient).float().clamp(min=0).mean(dim=1))  # (B, N, N)
        return _read(probe.backbone, images, layers, kept, skip=True)


class AttentionTaken(TorchFunctionMode):
    """Collects attention weights in the order in which they are computed; the network's values stay the same up to
    rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[torch.Tensor] = []
        """(B, heads, N, M) each, part of the graph where there is one."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention":
            weights, value = _step_by_step(*args, **(kwargs or {}))
            self.weights.append(weights)
            return weights @ value
        result = func(*args, **(kwargs or {}))
        if name == "softmax" and isinstance(result, torch.Tensor) and result.ndim >= 3:
            self.weights.append(result)
        return result


def _step_by_step(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """(weights (..., N, M), value): what scaled_dot_product_attention multiplies. Dropout is off in evaluation."""
    if enable_gqa:
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    logits = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        logits = logits.masked_fill(torch.ones_like(logits, dtype=torch.bool).triu(1), -math.inf)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        logits = logits.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        logits = logits + attn_mask
    return logits.softmax(dim=-1), value


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
    with ExitStack() as stack:
        for module in network.modules():
            if isinstance(module, kinds):
                stack.callback(module.register_forward_pre_hook(look).remove)
        yield seen


Layers = Sequence[AllTokens | Windows | Merging]


def _attended(
    probe: Probe, images: torch.Tensor, method: str
) -> tuple[torch.Tensor, list[torch.Tensor], Layers]:
    """(local logits, the attention matrices (B, heads, N, N), the layers that they and mergings are in), first to last.

    Raises:
        ConfigError: there is no attention, or it is neither between all tokens of the picture nor that of Swin.
    """
    with AttentionTaken() as taken, windows_seen(probe.backbone) as seen:
        logits = probe.local(images)
    name, found = type(probe.backbone).__name__, taken.weights
    if isinstance(probe.model, Network) and not probe.model.stores_features:
        # Its further passes, over crops, are left out.
        with torch.no_grad(), AttentionTaken() as once, windows_seen(probe.backbone) as first:
            probe.model.features(images)
        found, seen = found[: len(once.weights)], seen[: len(first)]
    if not found:
        raise ConfigError(f"{method} needs attention, which {name} does not have; use gradcam or lrp.")
    if sum(isinstance(layer, Windows) for layer in seen) == len(found):
        return logits, found, seen
    for weights in found:
        plain = weights.ndim == 4 and len(weights) == len(images) and weights.shape[2] == weights.shape[3]
        if not plain or weights.shape[3] != found[0].shape[3]:
            raise ConfigError(
                f"{method} needs attention between all tokens of the picture in every block, or Swin's windows; {name} "
                f"has one of shape {tuple(weights.shape)} (other windows, stages, or pooling by attention). Use lrp, "
                "gradcam or layercam."
            )
    return logits, found, [AllTokens()] * len(found)


def _read(
    backbone: nn.Module, images: torch.Tensor, layers: Layers, matrices: list[torch.Tensor], *, skip: bool
) -> torch.Tensor:
    """(B, h, w): what the tokens that the classifier reads take from each patch: their row of M_L ... M_1, or with
    ``skip`` of (I + M_L) ... (I + M_1)."""
    row, patches = _readers(backbone, images, layers, matrices[-1].shape[-1])
    left = list(matrices)
    for layer in reversed(layers):
        if isinstance(layer, Merging):
            row = layer.back(row)
        else:
            moved = layer.back(row, left.pop())
            row = row + moved if skip else moved
    return row[:, patches]


def _readers(
    backbone: nn.Module, images: torch.Tensor, layers: Layers, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(the share (B, N) that each token of the end has in what the classifier reads, the numbers (h, w) of the first
    layer's tokens that are patches)."""
    first, last = layers[0], next(layer for layer in reversed(layers) if not isinstance(layer, Merging))
    if isinstance(first, Windows) and isinstance(last, Windows):  # Swin reads the mean of all
        count = last.grid[0] * last.grid[1]
        patches = torch.arange(first.grid[0] * first.grid[1], device=images.device).view(first.grid)
        return torch.full((len(images), count), 1 / count, device=images.device), patches
    numbers = torch.arange(count, device=images.device, dtype=torch.float32).view(1, count, 1)
    patches = to_map(backbone, "", numbers.expand(len(images), -1, -1), images)[0, 0].long()  # (h, w)
    prefix = count - patches.numel()
    pool = getattr(backbone, "global_pool", "token" if prefix else "avg")
    readers = patches.flatten()
    if prefix and pool in ("token", "cls", ""):
        # A distilled network averages the answers of two tokens; further prefix tokens are registers.
        readers = torch.arange(2 if getattr(backbone, "dist_token", None) is not None else 1)
    row = torch.zeros(len(images), count, device=images.device)
    row[:, readers] = 1 / len(readers)
    return row, patches
