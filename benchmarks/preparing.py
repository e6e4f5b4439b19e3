"""Batch.prepare: bytes to normalised pictures in channels_last, beside two other orders of the same steps."""

import torch

from benchmarks.measure import Row, compare, interleaved
from benchmarks.photos import Photos
from benchmarks.plain import MEAN, STD
from foveate.data.batch import Batch

BATCH, SIZE, TIMES = 32, 224, 10


def run(photos: Photos, repeats: int, quick: bool = False) -> list[Row]:
    """Milliseconds a picture (random bytes; ``photos`` are not needed)."""
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    scale, shift = (1 / (255 * std)).view(1, 3, 1, 1), (-mean / std).view(1, 3, 1, 1)
    images = torch.randint(0, 256, (BATCH, 3, SIZE, SIZE), dtype=torch.uint8)
    batch = Batch(
        images=images,
        targets=torch.zeros(BATCH, dtype=torch.int64),
        masks=torch.zeros(BATCH, 1, SIZE, SIZE, dtype=torch.uint8),
        has_mask=torch.zeros(BATCH, dtype=torch.bool),
        index=torch.arange(BATCH),
    )

    def own() -> torch.Tensor:
        return batch.prepare("cpu", mean, std, torch.channels_last).images

    def layout_first() -> torch.Tensor:
        return images.to(torch.float32, memory_format=torch.channels_last).mul_(scale).add_(shift)

    def layout_last() -> torch.Tensor:
        return images.to(torch.float32).mul_(scale).add_(shift).contiguous(memory_format=torch.channels_last)

    ways = {"prepare": own, "layout first": layout_first, "layout last": layout_last}
    seconds = interleaved(
        {name: lambda way=way: [way() for _ in range(TIMES)] for name, way in ways.items()}, repeats
    )
    times = {name: [1000 * value / (TIMES * BATCH) for value in values] for name, values in seconds.items()}
    figures = ", ".join(f"{n} {sorted(v)[len(v) // 2]:.3f}" for n, v in times.items())
    note = f"beside the other order, layout first, without masks ({figures})"
    return [
        compare(
            "normalising to channels_last",
            f"{SIZE} px",
            times["prepare"],
            times["layout first"],
            unit="ms a picture",
            note=note,
        )
    ]
