"""Batch: what a loader yields and a training step consumes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch


@dataclass(frozen=True)
class Batch:
    """Pictures, labels and masks of B samples.

    A loader yields bytes (uint8 images and masks, small to move); ``prepare`` turns them into what networks and
    objectives expect (normalised float images, float masks).
    """

    images: torch.Tensor
    """(B, 3, H, W): uint8 from the loader (float32 in the same units where a pretext task needs values that no byte
    has); float, normalised, after ``prepare``."""
    targets: torch.Tensor
    """(B,) int64, -1 = unlabelled; or (B, C) float once labels are mixed."""
    masks: torch.Tensor
    """(B, 1, H, W): uint8 0..255 from the loader; float in [0, 1] after ``prepare``; 1 = object.

    Zero where there is no mask."""
    has_mask: torch.Tensor
    """(B,) bool."""
    index: torch.Tensor
    """(B,) int64, row in the Catalog."""
    views: int = 1
    """How many views of each picture a batch transform has made: those of one picture lie in a row, the plain one
    first."""
    edits: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = field(default_factory=dict)
    """{tap: (B, K, h, w) -> the same shape}: what a batch transform does to feature maps inside the network."""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def labels(self) -> torch.Tensor:
        """(B,) int64: the class, or the one with the largest share where labels are mixed."""
        return self.targets.argmax(dim=1) if self.targets.is_floating_point() else self.targets

    def replace(self, **changes: Any) -> "Batch":
        """A copy with some fields exchanged."""
        return replace(self, **changes)

    def prepare(
        self,
        device: torch.device | str,
        mean: torch.Tensor,
        std: torch.Tensor,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> "Batch":
        """On ``device``; pictures as of ``normalised``, masks in [0, 1]."""
        return Batch(
            images=normalised(self.images, device, mean, std, memory_format),
            targets=self.targets.to(device, non_blocking=True),
            masks=self.masks.to(device, non_blocking=True).to(torch.float32).div_(255),
            has_mask=self.has_mask.to(device, non_blocking=True),
            index=self.index,
        )


def normalised(
    images: torch.Tensor,
    device: torch.device | str,
    mean: torch.Tensor,
    std: torch.Tensor,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> torch.Tensor:
    """Pictures (B, 3, H, W) in [0, 255], moved to ``device`` as they are and normalised there: (x / 255 - mean) / std.

    mean, std: (3,) float in [0, 1] units.
    """
    scale = (1 / (255 * std)).view(1, 3, 1, 1).to(device)
    shift = (-mean / std).view(1, 3, 1, 1).to(device)
    # The layout last: converted first, every step works on strides that its kernel is slower on.
    moved = images.to(device, non_blocking=True).to(torch.float32, copy=True)
    return moved.mul_(scale).add_(shift).contiguous(memory_format=memory_format)


def counted(
    batches: Iterable[Batch], total: int, tell: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Batch]:
    """The same batches; ``tell(done, total)`` is called with the number of pictures before each and at the end."""
    done = 0
    for batch in batches:
        tell(done, total)
        yield batch
        done = min(done + len(batch), total - 1)
    tell(total, total)
