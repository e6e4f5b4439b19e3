"""A tiny network that follows the contract, and tables with known content."""

import numpy as np
import pytest
import torch

from foveate.data.batch import Batch
from foveate.evaluation.predictions import PredictionTable
from foveate.models.output import Output


class TinyNetwork(torch.nn.Module):
    """Two convolutions with batch norm and dropout, a linear head; taps ``early`` and ``late``."""

    def __init__(self, classes: int = 4, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first = torch.nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = torch.nn.BatchNorm2d(6)
        self.second = torch.nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(8, classes)
        self.register_buffer("mean", torch.tensor([0.5, 0.4, 0.3]))
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.4]))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)

    def forward(self, images: torch.Tensor, taps: tuple[str, ...] = ()) -> Output:
        early = torch.relu(self.norm(self.first(images)))
        late = torch.relu(self.second(early))
        logits = self.head(self.drop(late.mean((2, 3))))
        return Output(logits, taps={tap: {"early": early, "late": late}[tap] for tap in taps})


@pytest.fixture
def network() -> TinyNetwork:
    return TinyNetwork()


def make_batches(n: int = 10, size: int = 16, batch: int = 4, classes: int = 4, seed: int = 1) -> list[Batch]:
    """Random pictures with a square mask each; the last picture has none, the one before is unlabelled."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 3, size, size), generator=generator, dtype=torch.uint8)
    targets = torch.arange(n) % classes
    masks = torch.zeros(n, 1, size, size, dtype=torch.uint8)
    for i in range(n):
        masks[i, :, i % 5 : i % 5 + 7, 3:11] = 255
    has_mask = torch.ones(n, dtype=torch.bool)
    has_mask[-1] = False
    targets[-2] = -1
    index = torch.arange(n) + 100
    return [
        Batch(
            images[i : i + batch],
            targets[i : i + batch],
            masks[i : i + batch],
            has_mask[i : i + batch],
            index[i : i + batch],
        )
        for i in range(0, n, batch)
    ]


@pytest.fixture
def batches() -> list[Batch]:
    return make_batches()


def make_table(
    n: int = 200, classes: int = 5, seed: int = 0, *, unlabelled: int = 3, sharpness: float = 2.0
) -> PredictionTable:
    """Random logits that lean to the truth; splits val and test; groups of six pictures."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) * sharpness
    logits[np.arange(n), labels] += sharpness
    labels[: min(unlabelled, n)] = -1
    return PredictionTable.from_logits(
        logits,
        labels,
        [f'pictures/{i:04d}, odd "name".jpg' for i in range(n)],
        [f"{4780 + i}" for i in range(classes)],
        splits=["val" if i % 3 == 0 else "test" for i in range(n)],
        groups=[f"plant {i // 6}" for i in range(n)],
        look={"energy_in_mask": np.where(rng.random(n) < 0.2, np.nan, rng.random(n))},
    )


@pytest.fixture
def table() -> PredictionTable:
    return make_table()
