"""How well one set of masks agrees with another: intersection over union, precision and recall, with controls.

The controls say what the pictures give away for free: the whole picture as mask, an ellipse in the middle, and the
bounding box of the known mask.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foveate.core.errors import DataError
from foveate.core.files import write_csv
from foveate.data.annotations import sample_mask
from foveate.data.catalog import Catalog
from foveate.data.grabcut import boxes_of, centre_shape

PROPOSED = "proposed"
CONTROLS = ("centre ellipse", "known bounding box", "whole picture")
CENTRE_SHARE = 0.5
"""Area of the ellipse that is a control, as a share of the picture."""
ENOUGH = 0.5
"""IoU from which two masks count as the same object, as detection benchmarks do."""


class Agreement(NamedTuple):
    """One mask against the known one."""

    iou: float
    """Shared area by united area; 0 when the mask is missing."""
    precision: float
    """Share of the mask that is object; NaN when the mask is missing or empty."""
    recall: float
    """Share of the object that the mask covers."""


def agreement(mask: np.ndarray, known: np.ndarray) -> Agreement:
    """IoU, precision and recall of ``mask`` (H, W) bool, ``known`` (H, W) bool and not empty being the truth."""
    shared, area, truth = int((mask & known).sum()), int(mask.sum()), int(known.sum())
    return Agreement(
        shared / (area + truth - shared), shared / area if area else float("nan"), shared / truth
    )


@dataclass(frozen=True)
class Comparison:
    """Agreement of every picture that has a known mask."""

    paths: tuple[str, ...]
    missing: int
    """Pictures without a proposed mask; they count with IoU and recall 0."""
    untried: int
    """Pictures with a known mask that were left out because no mask was asked for."""
    empty: int
    """Pictures left out because their known mask is empty."""
    scores: Mapping[str, Sequence[Agreement]]
    """{"proposed" or a control: one agreement a path}"""

    def summary(self) -> list[dict[str, float | str | int]]:
        """A row for the proposed masks and for every control: n, mean and quartiles of IoU, share of pictures with
        IoU >= 0.5, median precision and recall."""
        rows: list[dict[str, float | str | int]] = []
        for name, scores in self.scores.items():
            iou, precision, recall = np.array(scores).T
            low, median, high = np.quantile(iou, (0.25, 0.5, 0.75)).tolist()
            stated = precision[~np.isnan(precision)]
            rows.append({
                "masks": name, "n": len(iou), "iou_mean": float(iou.mean()), "iou_q1": low, "iou_median": median,
                "iou_q3": high, "share_iou_50": float((iou >= ENOUGH).mean()),
                "precision_median": float(np.median(stated)) if len(stated) else float("nan"),
                "recall_median": float(np.median(recall)),
            })  # fmt: skip
        return rows

    def to_csv(self, path: Path) -> None:
        """One row a picture and kind of mask: path, masks, iou, precision, recall."""
        rows = [
            (where, name, *("" if np.isnan(value) else f"{value:.4f}" for value in score))
            for name, scores in self.scores.items()
            for where, score in zip(self.paths, scores, strict=True)
        ]
        write_csv(Path(path), ("path", "masks", *Agreement._fields), rows)


def compare_masks(known: Catalog, proposed: Catalog, tried: Collection[str] | None = None) -> Comparison:
    """Compare the masks of ``proposed`` with those of ``known``, the same pictures with other mask references.

    Args:
        known: the pictures with their true masks.
        proposed: the masks to judge.
        tried: paths of the pictures that count; None = all.

    Raises:
        DataError: no picture has a known mask, or the two catalogs have the same masks.
        MaskError, DecodeError: a mask or picture cannot be read.
    """
    row_of = {sample.path: row for row, sample in enumerate(proposed.samples)}
    masked = [row for row, sample in enumerate(known.samples) if sample.mask]
    rows = [row for row in masked if tried is None or known.samples[row].path in tried]
    if not rows:
        raise DataError(f"No picture of {known.root} has a known mask; name their folder (--masks).")
    unknown = [known.samples[row].path for row in rows if known.samples[row].path not in row_of]
    if unknown:
        raise DataError(
            f"{len(unknown)} pictures, for example {unknown[0]}, are not among the pictures proposed for."
        )
    if all(known.samples[row].mask == proposed.samples[row_of[known.samples[row].path]].mask for row in rows):
        raise DataError("The proposed masks are the known ones themselves; name the known ones (--masks).")
    paths, missing, empty = [], 0, 0
    scores: dict[str, list[Agreement]] = {name: [] for name in (PROPOSED, *CONTROLS)}
    for row in rows:
        truth = np.asarray(sample_mask(known, row)) > 0
        if not truth.any():
            empty += 1
            continue
        other = sample_mask(proposed, row_of[known.samples[row].path])
        missing += other is None
        masks = (
            np.zeros_like(truth) if other is None else np.asarray(other) > 0,
            centre_shape(truth.shape[0], truth.shape[1], CENTRE_SHARE),
            boxes_of(truth),
            np.ones_like(truth),
        )
        for name, mask in zip(scores, masks, strict=True):
            scores[name].append(agreement(mask, truth))
        paths.append(known.samples[row].path)
    if not paths:
        raise DataError(
            f"All {empty} known masks of {known.root} are empty; there is nothing to compare with."
        )
    return Comparison(tuple(paths), missing, len(masked) - len(rows), empty, scores)
