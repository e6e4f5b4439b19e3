"""The loop that a user would write without Foveate: torchvision's ImageFolder and DataLoader, timm, AdamW, fp32."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.photos import Photos
from foveate.core import torchvision_guard  # noqa: F401  (before torchvision and timm)

import timm  # isort: skip
from torchvision import transforms as T  # isort: skip
from torchvision.datasets import ImageFolder  # isort: skip

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BILINEAR = T.InterpolationMode.BILINEAR

# What comes nearest to each preset of foveate.data.transforms, step for step.
AUGMENTATIONS: dict[str, Callable[[int], list[Any]]] = {
    "none": lambda size: [T.Resize((size, size))],
    "basic": lambda size: [
        T.Resize((size, size)),
        T.RandomHorizontalFlip(),
        T.RandomAffine(0, translate=(0.06, 0.06)),
    ],
    "standard": lambda size: [
        T.RandomResizedCrop(size, scale=(0.7, 1.0), ratio=(0.9, 1.1)),
        T.RandomHorizontalFlip(),
        T.RandomRotation(15, _BILINEAR),
        T.ColorJitter(brightness=0.1, contrast=0.2, saturation=0.2),
    ],
    "advanced": lambda size: [
        T.RandomHorizontalFlip(),
        T.RandomResizedCrop(size, scale=(0.08, 1.0), ratio=(0.75, 4 / 3)),
        T.RandomRotation(20, _BILINEAR),
    ],
    "plant": lambda size: [
        T.Resize((size, size)),
        T.ColorJitter(brightness=0.25, contrast=0.2),
        T.RandomHorizontalFlip(),
        T.RandomVerticalFlip(),
        T.RandomAffine(90, translate=(0.25, 0.25), interpolation=_BILINEAR),
    ],
}


def transform(preset: str, size: int) -> Any:
    """Augmentation like the preset's, then a normalised tensor."""
    steps = [*AUGMENTATIONS[preset](size), T.ToTensor(), T.Normalize(MEAN, STD)]
    if preset == "plant":
        steps.append(T.RandomErasing(p=1.0, scale=(0.01, 0.12)))
    return T.Compose(steps)


def loader(
    photos: Photos, count: int, preset: str, size: int, batch_size: int, workers: int
) -> torch.utils.data.DataLoader:
    """Shuffled batches; workers stay alive between epochs, which is kinder than the default."""
    folder = ImageFolder(str(photos.root), transform(preset, size))
    folder.samples = [(str(path), label) for path, label in photos.some(count)]
    folder.targets = [label for _, label in folder.samples]
    return torch.utils.data.DataLoader(
        folder, batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )


class Training:
    """``epoch()`` trains once over all pictures."""

    def __init__(self, network: str, classes: int, batches: torch.utils.data.DataLoader, lr: float) -> None:
        self.batches = batches
        self.model = timm.create_model(network, pretrained=False, num_classes=classes)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr)
        self.criterion = nn.CrossEntropyLoss()

    def epoch(self) -> float:
        """The mean loss."""
        self.model.train()
        total = 0.0
        for images, labels in self.batches:
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(images), labels)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / len(self.batches)
