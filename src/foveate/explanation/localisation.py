"""Is the map right: does it agree with a mask of the object, beside what a map of noise would reach.

found = localisation(maps, masks)          # {score: (B,)}, swept scores (B, T)
level = chance_levels(masks)               # the same of a map of independent uniform noise

A picture whose mask is empty, or whose map is constant, is not measurable: NaN. Ties are counted as their mean over all
orders, not by the order of the pixels: half of a class map may be exactly zero.
"""

import torch
from pydantic import Field
from torch.nn import functional

from foveate.core.config import Config
from foveate.explanation.maps import min_max, upsample
from foveate.explanation.overlap import box_ious, chance_boxes, chance_iou, ious, otsu, swept_ious
from foveate.explanation.score import Score
from foveate.explanation.similarity import mean_ranks

LOCALISATION: tuple[Score, ...] = (
    Score("pointing", "pointing game"),
    Score("pointing_weighted", "pointing, weighted"),
    Score("energy", "energy in mask"),
    Score("rank_accuracy", "rank accuracy"),
    Score("top_k", "top-k in mask"),
    Score("auc", "pixel AUC"),
    Score("iou_mean", "IoU at mean"),
    Score("iou_otsu", "IoU at Otsu"),
    Score("iou_best", "IoU, best threshold", swept=True),
    Score("box_50", "box IoU >= 0.5", swept=True),
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
      has an IoU of at least 0.5 with the mask's box (MaxBoxAcc; Choe et al., CVPR 2020).

    Args:
        maps: (B, h, w), upsampled to the masks; negative values count as zero.
        masks: (B, H, W) or (B, 1, H, W) in [0, 1]; 0.5 and more is object, but energy weighs by the value.
    """
    config = config or LocalisationConfig()
    inside, soft = _binary(masks)
    height, width = inside.shape[1:]
    positive = upsample(maps.to(soft.device).clamp(min=0), (height, width))
    maps = min_max(positive)
    values, object_ = maps.flatten(1), inside.flatten(1)
    area = object_.sum(dim=1)
    share = area / (height * width)
    ordered = values.sort(dim=1, descending=True).values
    hits = _pointing(maps, inside, config.tolerance)
    found = {
        "pointing": hits,
        "pointing_weighted": hits * (1 - share),
        "energy": energy_in_mask(positive, soft),
        "rank_accuracy": _share_of_top(values, ordered, object_, area),
        "top_k": _share_of_top(
            values, ordered, object_, _top(config, height, width).to(area).expand_as(area)
        ),
        "auc": _auc(values, object_),
        "iou_mean": ious(maps > maps.mean(dim=(1, 2), keepdim=True), inside),
        "iou_otsu": ious(maps > otsu(maps)[:, None, None], inside),
        "iou_best": swept_ious(maps, inside, config.thresholds),
        "box_50": (box_ious(maps, inside, config.thresholds) >= 0.5).float(),
    }
    measurable = (area > 0) & (ordered[:, 0] > ordered[:, -1])
    return {name: _where(measurable, score.float()) for name, score in found.items()}


def chance_levels(masks: torch.Tensor, config: LocalisationConfig | None = None) -> dict[str, torch.Tensor]:
    """What a map of independent uniform noise scores on average, (B,) or (B, T); NaN for an empty mask.

    Of boxes: what the box of the whole picture scores. A map that is the same everywhere has the same energy.
    """
    config = config or LocalisationConfig()
    inside, soft = _binary(masks)
    share = inside.float().mean(dim=(1, 2))
    pointing = _dilated(inside, config.tolerance).float().mean(dim=(1, 2))
    found = {
        "pointing": pointing,
        "pointing_weighted": pointing * (1 - share),
        "energy": soft.mean(dim=(1, 2)),
        "rank_accuracy": share,
        "top_k": share,
        "auc": torch.full_like(share, 0.5).masked_fill(share == 1, torch.nan),
        "iou_mean": chance_iou(share, 0.5),
        "iou_otsu": chance_iou(share, 0.5),
        "iou_best": torch.stack(
            [chance_iou(share, k / config.thresholds) for k in range(config.thresholds)], dim=1
        ),
        "box_50": chance_boxes(inside).ge(0.5).float()[:, None].expand(-1, config.thresholds),
    }
    return {name: _where(share > 0, level) for name, level in found.items()}


def energy_in_mask(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Share of each map's energy inside its mask, (B,); NaN for an empty mask or a map without energy.

    maps (B, h, w), negative values count as zero; masks (B, H, W) or (B, 1, H, W) in [0, 1], 1 = object.
    """
    masks = masks.reshape(len(masks), *masks.shape[-2:]).float()
    maps = upsample(maps.clamp(min=0), (masks.shape[1], masks.shape[2]))
    total = maps.sum((1, 2))
    defined = (total > 0) & (masks.sum((1, 2)) > 0)
    return torch.where(defined, (maps * masks).sum((1, 2)) / torch.where(total > 0, total, 1.0), torch.nan)


def chance_energy(masks: torch.Tensor) -> torch.Tensor:
    """Energy of a uniform map, (B,): the mean of masks (B, H, W) or (B, 1, H, W); NaN for an empty mask."""
    share = masks.reshape(len(masks), *masks.shape[-2:]).float().mean((1, 2))
    return torch.where(share > 0, share, torch.nan)


def _binary(masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, H, W) bool and float32; where no pixel reaches 0.5 the mask is empty."""
    soft = masks.reshape(len(masks), *masks.shape[-2:]).float()
    return soft >= 0.5, soft


def _where(measurable: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
    return torch.where(measurable if score.ndim == 1 else measurable[:, None], score, torch.nan)


def _top(config: LocalisationConfig, height: int, width: int) -> torch.Tensor:
    return torch.tensor(min(config.top or max(1, round(0.02 * height * width)), height * width))


def _dilated(inside: torch.Tensor, radius: int) -> torch.Tensor:
    """(B, H, W) bool: every pixel whose centre is at most ``radius`` pixels from one of ``inside``."""
    if radius == 0:
        return inside
    line = torch.arange(-radius, radius + 1, device=inside.device)
    disc = (line[:, None] ** 2 + line[None, :] ** 2 <= radius**2).float()
    return functional.conv2d(inside[:, None].float(), disc[None, None], padding=radius)[:, 0] > 0.5


def _pointing(maps: torch.Tensor, inside: torch.Tensor, tolerance: int) -> torch.Tensor:
    highest = maps == maps.amax(dim=(1, 2), keepdim=True)
    hit = highest & _dilated(inside, tolerance)
    return hit.sum(dim=(1, 2)) / highest.sum(dim=(1, 2))


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
