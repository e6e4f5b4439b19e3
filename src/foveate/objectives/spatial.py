"""Spatial losses: they compare where a network looks with a mask. Pictures without a mask take no part.

Shapes: a tap is (B, K, h, w), a map (B, h, w), a mask (B, 1, H, W) with 1 = object.
"""

from typing import Literal

import torch
import torch.nn.functional as F

from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.term import Context, Progress, TermConfig, nothing

EPSILON = 1e-6


def aggregate(tap: torch.Tensor, how: Literal["mean", "max"]) -> torch.Tensor:
    """(B, K, h, w) -> (B, h, w): mean or maximum over channels."""
    return tap.mean(dim=1) if how == "mean" else tap.amax(dim=1)


def min_max(maps: torch.Tensor) -> torch.Tensor:
    """Each map (B, h, w) stretched to [0, 1]; a constant map becomes 0."""
    low = maps.amin(dim=(1, 2), keepdim=True)
    high = maps.amax(dim=(1, 2), keepdim=True)
    return (maps - low) / (high - low + EPSILON)


def z_score(maps: torch.Tensor) -> torch.Tensor:
    """Each map (B, h, w) shifted to mean 0 and scaled to standard deviation 1."""
    centred = maps - maps.mean(dim=(1, 2), keepdim=True)
    return centred / (centred.square().mean(dim=(1, 2), keepdim=True).sqrt() + EPSILON)


def resize_masks(masks: torch.Tensor, size: tuple[int, int], how: Literal["area", "nearest"]) -> torch.Tensor:
    """(B, 1, H, W) -> (B, h, w): the share of each cell that is object ("area"), or the cell's centre pixel."""
    return F.interpolate(masks, size=size, mode="area" if how == "area" else "nearest-exact")[:, 0]


def class_map(output: Output, batch: Batch, tap: str) -> torch.Tensor:
    """Differentiable Grad-CAM of the true class at a tap, (B, h, w), not normalised, >= 0.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017: ReLU(sum_k a_k A^k), a_k = mean over space of dS_y / dA^k.
    """
    activations = output.taps[tap]
    if batch.targets.is_floating_point():
        score = (output.logits * batch.targets).sum()
    else:
        score = output.logits.gather(1, batch.targets[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, activations, create_graph=torch.is_grad_enabled())
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1).relu().float()


class SpatialMSE:
    """Mean squared difference between a normalised feature map and the resized mask.

    Source: Learn 2 Look (spatial loss on feature maps): aggregate the tap over channels, min-max each map to [0, 1],
    bring the mask to the map's size, mean over pixels and pictures.
    """

    class Config(TermConfig):
        loss: Literal["spatial_mse"] = "spatial_mse"
        tap: str = "late"
        """Feature map: a module name, "stage:K", or early / middle / late."""
        aggregate: Literal["mean", "max"] = "mean"
        """How channels become one map."""
        normalise: Literal["minmax", "zscore"] = "minmax"
        """Applied to map and mask alike; min-max leaves a binary mask as it is."""
        resize: Literal["area", "nearest"] = "area"
        """How the mask comes to the map's size."""

    def __init__(self, config: Config, context: Context) -> None:
        self.config = config
        self.taps: tuple[str, ...] = (config.tap,)

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        if not bool(batch.has_mask.any()):
            return nothing(output)
        tap = output.taps[self.config.tap][batch.has_mask].float()
        normalise = min_max if self.config.normalise == "minmax" else z_score
        maps = normalise(aggregate(tap, self.config.aggregate))
        masks = resize_masks(batch.masks[batch.has_mask], (maps.shape[1], maps.shape[2]), self.config.resize)
        return F.mse_loss(maps, normalise(masks) if self.config.normalise == "zscore" else masks)


class ClassMapEnergy:
    """Share of the true class's Grad-CAM that falls outside the mask, averaged over pictures.

    1 - sum(map * mask) / sum(map), the scale-free form of "right for the right reasons" on the class map. It says only
    where evidence may come from, not that the whole object must light up.
    """

    class Config(TermConfig):
        loss: Literal["class_map_energy"] = "class_map_energy"
        tap: str = "late"
        """Feature map at which the class map is computed."""

    differentiates = True

    def __init__(self, config: Config, context: Context) -> None:
        self.tap = config.tap
        self.taps: tuple[str, ...] = (config.tap,)

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        if not bool(batch.has_mask.any()):
            return nothing(output)
        maps = class_map(output, batch, self.tap)[batch.has_mask]
        masks = resize_masks(batch.masks[batch.has_mask], (maps.shape[1], maps.shape[2]), "area")
        total = maps.sum(dim=(1, 2))
        inside = (maps * masks).sum(dim=(1, 2))
        # A map that is zero everywhere has no evidence to move; it counts as neither inside nor outside.
        outside = torch.where(total > EPSILON, 1 - inside / total.clamp(min=EPSILON), torch.zeros_like(total))
        return outside.mean()
