"""Is the map right: does it agree with a mask of the object, beside what a map of noise would reach.

found = localisation(maps, masks)          # {score: (B,)}, swept scores (B, T)
level = chance_levels(masks)               # the same of a map of independent uniform noise

A picture whose mask is empty, or whose map is constant, is not measurable: NaN. Ties are counted as their mean over all
orders, not by the order of the pixels: half of a class map may be exactly zero.
"""

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage
from torch.nn import functional

from foveate.core.config import Config
from foveate.explanation.maps import MapScore, min_max, upsample
from foveate.explanation.similarity import mean_ranks

LOCALISATION: tuple[MapScore, ...] = (
    MapScore("pointing", "pointing game"),
    MapScore("pointing_weighted", "pointing, weighted"),
    MapScore("energy", "energy in mask"),
    MapScore("rank_accuracy", "rank accuracy"),
    MapScore("top_k", "top-k in mask"),
    MapScore("auc", "pixel AUC"),
    MapScore("iou_mean", "IoU at mean"),
    MapScore("iou_otsu", "IoU at Otsu"),
    MapScore("iou_best", "IoU, best threshold", swept=True),
    MapScore("box_50", "box IoU >= 0.5", swept=True),
)
"""The scores, in the order of tables."""


class LocalisationConfig(Config):
    """Settings of the scores."""

    tolerance: int = Field(default=0, ge=0, le=4096)
    """Pointing game: pixels by which the highest point may miss the mask; Zhang et al. (2016) allow 15 at 224 px."""
    top: int | None = Field(default=None, ge=1, le=4096**2)
    """Top-k: how many pixels are looked at; None: 2 % of the picture, which is the usual 1000 at 224 px."""
    thresholds: int = Field(default=20, ge=2, le=10_000)
    """Swept scores: thresholds 0, 1/T, ..., (T-1)/T of the map stretched to [0, 1]."""


def localisation(
    maps: torch.Tensor, masks: torch.Tensor, config: LocalisationConfig | None = None
) -> dict[str, torch.Tensor]:
    """Every score of ``LOCALISATION``: (B,) float32 each, (B, T) where it is swept.

    - pointing: is the highest point in the mask (several highest points: the share of them)? Zhang et al., ECCV 2016.
      Weighted: hits count 1 - |s| / HW.
    - energy: sum(a s) / sum(a). Wang et al., Score-CAM, 2020; "relevance mass accuracy" of Arras et al., 2022.
    - rank_accuracy: share of the |s| highest pixels that lie in the mask. Arras et al., 2022.
    - top_k: the same of the k highest pixels.
    - auc: area under the ROC curve of the map as a score of the mask's pixels.
    - iou_mean, iou_otsu: intersection over union of the mask and the pixels above the map's mean or Otsu's threshold.
    - iou_best: the same at every threshold. box_50: whether the box of the largest connected part above the threshold
      (over edges and corners) has an IoU of at least 0.5 with the mask's box (MaxBoxAcc; Choe et al., CVPR 2020).

    Args:
        maps: (B, h, w), upsampled to the masks; negative values count as zero.
        masks: (B, H, W) or (B, 1, H, W) in [0, 1]; 0.5 and more is object, but energy weighs by the value.
    """
    config = config or LocalisationConfig()
    soft = _flat(masks)
    inside, pixels = soft >= 0.5, soft[0].numel()
    positive = upsample(maps.to(soft.device).clamp(min=0), (soft.shape[1], soft.shape[2]))
    maps = min_max(positive)
    values, object_ = maps.flatten(1), inside.flatten(1)
    area = object_.sum(dim=1)
    top = torch.full_like(area, min(config.top or max(1, round(0.02 * pixels)), pixels))
    ordered = values.sort(dim=1, descending=True).values
    highest = maps == maps.amax(dim=(1, 2), keepdim=True)
    hits = (highest & _dilated(inside, config.tolerance)).sum(dim=(1, 2)) / highest.sum(dim=(1, 2))
    bins = _at_or_above(maps, config.thresholds)
    found = {
        "pointing": hits,
        "pointing_weighted": hits * (1 - area / pixels),
        "energy": energy_in_mask(positive, soft),
        "rank_accuracy": _share_of_top(values, ordered, object_, area),
        "top_k": _share_of_top(values, ordered, object_, top),
        "auc": _auc(values, object_),
        "iou_mean": _ious(maps > maps.mean(dim=(1, 2), keepdim=True), inside),
        "iou_otsu": _ious(maps > otsu(maps)[:, None, None], inside),
        "iou_best": _swept_ious(bins, inside, config.thresholds),
        "box_50": (_box_ious(bins, inside, config.thresholds) >= 0.5).float(),
    }
    measurable = (area > 0) & (ordered[:, 0] > ordered[:, -1])
    return {name: _where(measurable, score.float()) for name, score in found.items()}


def chance_levels(masks: torch.Tensor, config: LocalisationConfig | None = None) -> dict[str, torch.Tensor]:
    """What a map of independent uniform noise scores on average, (B,) or (B, T); NaN for an empty mask.

    Of boxes: what the box of the whole picture scores. A map that is the same everywhere has the same energy.
    """
    config = config or LocalisationConfig()
    soft = _flat(masks)
    inside = soft >= 0.5
    share = inside.float().mean(dim=(1, 2))
    pointing = _dilated(inside, config.tolerance).float().mean(dim=(1, 2))
    drawn = 1 - torch.arange(config.thresholds, device=soft.device) / config.thresholds
    whole = torch.full(inside.shape, config.thresholds - 1, device=soft.device)
    found = {
        "pointing": pointing,
        "pointing_weighted": pointing * (1 - share),
        "energy": soft.mean(dim=(1, 2)),
        "rank_accuracy": share,
        "top_k": share,
        "auc": torch.full_like(share, 0.5).masked_fill(share == 1, torch.nan),
        "iou_mean": chance_iou(share, 0.5),
        "iou_otsu": chance_iou(share, 0.5),
        "iou_best": chance_iou(share[:, None], drawn),
        "box_50": _box_ious(whole, inside, config.thresholds).ge(0.5).float(),
    }
    return {name: _where(share > 0, level) for name, level in found.items()}


def chance_iou(share: torch.Tensor, drawn: torch.Tensor | float) -> torch.Tensor:
    """IoU of a mask that covers ``share`` of the picture with pixels drawn independently, ``drawn`` of all."""
    return drawn * share / (drawn + share - drawn * share)


def energy_in_mask(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Share of each map's energy inside its mask, (B,); NaN for an empty mask or a map without energy.

    maps (B, h, w), negative values count as zero; masks (B, H, W) or (B, 1, H, W) in [0, 1], 1 = object.
    """
    masks = _flat(masks)
    maps = upsample(maps.clamp(min=0), (masks.shape[1], masks.shape[2]))
    total = maps.sum((1, 2))
    defined = (total > 0) & (masks.sum((1, 2)) > 0)
    return torch.where(defined, (maps * masks).sum((1, 2)) / torch.where(total > 0, total, 1.0), torch.nan)


def chance_energy(masks: torch.Tensor) -> torch.Tensor:
    """Energy of a uniform map, (B,): the mean of masks (B, H, W) or (B, 1, H, W); NaN for an empty mask."""
    share = _flat(masks).mean((1, 2))
    return torch.where(share > 0, share, torch.nan)


def _flat(masks: torch.Tensor) -> torch.Tensor:
    """(B, H, W) float32."""
    return masks.reshape(len(masks), *masks.shape[-2:]).float()


def _where(measurable: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
    return torch.where(measurable if score.ndim == 1 else measurable[:, None], score, torch.nan)


def _dilated(inside: torch.Tensor, radius: int) -> torch.Tensor:
    """(B, H, W) bool: every pixel whose centre is at most ``radius`` pixels from one of ``inside``."""
    if radius == 0:
        return inside
    line = torch.arange(-radius, radius + 1, device=inside.device)
    disc = (line[:, None] ** 2 + line[None, :] ** 2 <= radius**2).float()
    return functional.conv2d(inside[:, None].float(), disc[None, None], padding=radius)[:, 0] > 0.5


def _share_of_top(
    values: torch.Tensor, ordered: torch.Tensor, inside: torch.Tensor, count: torch.Tensor
) -> torch.Tensor:
    """Share of the ``count`` (B,) highest of ``values`` (B, N) that lie ``inside``, the mean over orders of ties."""
    count = count.clamp(min=1)
    last = ordered.gather(1, count[:, None] - 1)
    above, tied = values > last, values == last
    wanted = count - above.sum(dim=1)
    from_ties = wanted * (tied & inside).sum(dim=1) / tied.sum(dim=1)
    return ((above & inside).sum(dim=1) + from_ties) / count


def _auc(values: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """(B,): the Mann-Whitney statistic from mean ranks; NaN where all or no pixels are inside."""
    positive = inside.sum(dim=1).double()
    negative = values.shape[1] - positive
    wins = (mean_ranks(values) * inside).sum(dim=1) - positive * (positive + 1) / 2
    return wins / (positive * negative)


def otsu(maps: torch.Tensor) -> torch.Tensor:
    """(B,): the threshold that parts each map (B, H, W) into two classes of largest variance between (Otsu, 1979)."""
    from skimage.filters import threshold_otsu

    found = [threshold_otsu(values) for values in maps.double().cpu().numpy()]
    return torch.tensor(found, dtype=torch.float64, device=maps.device)


def _ious(regions: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """(B,): intersection over union of two (B, H, W) bool; NaN where both are empty."""
    return (regions & inside).sum(dim=(1, 2)) / (regions | inside).sum(dim=(1, 2))


def _at_or_above(maps: torch.Tensor, thresholds: int) -> torch.Tensor:
    """(B, H, W) int64: the highest k with map >= k / T, below T; maps in [0, 1]."""
    edges = torch.arange(thresholds, device=maps.device, dtype=torch.float64) / thresholds
    return torch.searchsorted(edges, maps.double().contiguous(), right=True) - 1


def _swept_ious(bins: torch.Tensor, inside: torch.Tensor, thresholds: int) -> torch.Tensor:
    """(B, T): IoU of {map >= k / T} with the mask, k = 0 ... T - 1."""
    bins, object_ = bins.flatten(1), inside.flatten(1).double()
    zeros = torch.zeros(len(bins), thresholds, dtype=torch.float64, device=bins.device)
    counts = [zeros.scatter_add(1, bins, weights) for weights in (torch.ones_like(object_), object_)]
    # From the highest bin down: what is at or above each threshold.
    area, shared = (count.flip(1).cumsum(dim=1).flip(1) for count in counts)
    return shared / (area + object_.sum(dim=1)[:, None] - shared)


Box = tuple[slice, ...]
"""Rows and columns."""


def _box_ious(bins: torch.Tensor, inside: torch.Tensor, thresholds: int) -> torch.Tensor:
    """(B, T): IoU of two boxes: of the largest connected part of {map >= k / T}, and of the mask; 0 for no mask."""
    found = np.zeros((len(bins), thresholds), dtype=np.float32)
    for i, (levels, mask) in enumerate(zip(bins.cpu().numpy(), inside.cpu().numpy(), strict=True)):
        known = ndimage.find_objects(mask.astype(np.uint8))
        for k in range(thresholds if known else 0):
            part = _largest(levels >= k)
            found[i, k] = _box_iou(part, known[0]) if part is not None else 0.0
    return torch.from_numpy(found).to(bins.device)


def _largest(region: np.ndarray) -> Box | None:
    """The box of the largest connected part; what fills the whole picture costs nothing."""
    if region.all():
        return tuple(slice(0, side) for side in region.shape)
    labels, count = ndimage.label(region, structure=np.ones((3, 3)))
    return ndimage.find_objects(labels)[np.bincount(labels.ravel())[1:].argmax()] if count else None


def _box_iou(one: Box, other: Box) -> float:
    sides = [(min(a.stop, b.stop) - max(a.start, b.start), a, b) for a, b in zip(one, other, strict=True)]
    shared = np.prod([max(side, 0) for side, _, _ in sides])
    areas = np.prod([(a.stop - a.start, b.stop - b.start) for _, a, b in sides], axis=0)
    return float(shared / (areas.sum() - shared))
