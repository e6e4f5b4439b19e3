"""The object somewhere else in its picture, smaller and larger."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch.nn import functional

from foveate.core import config
from foveate.core.rng import numpy_generator
from foveate.evaluation.evaluators.variants import (
    SEED,
    VariantTest,
    as_bytes,
    centred,
    painted_out,
)


class MovedObject(VariantTest):
    """Accuracy when the object stands elsewhere in its own picture, or is smaller or larger.

    Where it stood it is painted out as in ``backgrounds``. Moved, it stays inside the picture; scaled, its middle stays
    and what does not fit is cut off.
    """

    class Config(config.Config):
        kind: Literal["moved_object"] = "moved_object"
        moves: int = Field(default=3, ge=0, le=100)
        """Other places of each object, drawn by its path."""
        scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = (0.5, 0.75, 1.25)
        """Sizes, as factors of its side."""

    def variants(self, image: torch.Tensor, mask: torch.Tensor, path: str) -> dict[str, torch.Tensor]:
        behind, (top, left, height, width) = painted_out(image, mask), box_of(mask)
        room = (image.shape[1] - height + 1, image.shape[2] - width + 1)
        rng = numpy_generator(SEED, "moved", path)
        found = {
            f"moved {k}": placed(
                image, mask, behind, 1.0, int(rng.integers(room[0])), int(rng.integers(room[1]))
            )
            for k in range(self.config.moves)
        }
        for scale in self.config.scales:
            size = scaled(height, scale), scaled(width, scale)
            corner = top + (height - size[0]) // 2, left + (width - size[1]) // 2
            found[f"scaled {scale:g}"] = placed(image, mask, behind, scale, *corner)
        return found

    def part(self, name: str) -> str:
        return "moved" if name.startswith("moved") else name


def box_of(mask: torch.Tensor) -> tuple[int, int, int, int]:
    """Top, left, height, width of the box around a mask (1, H, W) that is not empty."""
    rows, columns = (mask[0].any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    return top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left


def scaled(side: int, scale: float) -> int:
    """A side in whole pixels."""
    return max(1, round(side * scale))


def placed(
    image: torch.Tensor, mask: torch.Tensor, behind: torch.Tensor, scale: float, top: int, left: int
) -> torch.Tensor:
    """(3, H, W) uint8: the object of ``mask``, scaled (bilinearly, with antialias), the corner of its box at ``top``
    and ``left``, which may lie outside; ``behind`` (3, H, W) ``centred``."""
    y, x, height, width = box_of(mask)
    cut = (slice(None), slice(y, y + height), slice(x, x + width))
    alpha = mask[cut].double() / 255
    layers = torch.cat(
        [centred(image)[cut] * alpha, alpha]
    )  # already weighed, so that no old background comes in
    if scale != 1:
        size = (scaled(height, scale), scaled(width, scale))
        layers = functional.interpolate(
            layers[None], size, mode="bilinear", antialias=True, align_corners=False
        )[0]
    over = layers.new_zeros(4, *image.shape[1:])
    first, last = (
        (max(0, top), max(0, left)),
        (min(image.shape[1], top + layers.shape[1]), min(image.shape[2], left + layers.shape[2])),
    )
    over[:, first[0] : last[0], first[1] : last[1]] = layers[
        :, first[0] - top : last[0] - top, first[1] - left : last[1] - left
    ]
    return as_bytes(over[:3] + behind * (1 - over[3:]))
