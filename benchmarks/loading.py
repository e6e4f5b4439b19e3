"""Loading and augmentation alone: batches ready for the network, beside ImageFolder and DataLoader."""

import tempfile
from pathlib import Path

import torch

from benchmarks import plain
from benchmarks.measure import Row, better, compare, interleaved
from benchmarks.photos import Photos
from foveate.data.cache import CacheConfig, open_pictures
from foveate.data.loader import Loader
from foveate.data.presets import PRESETS
from foveate.data.transforms import AugmentationConfig, build_transform

SIZE, COUNT, BATCH = 224, 256, 32
WORKERS = (0, 2)


def run(photos: Photos, repeats: int, quick: bool = False) -> list[Row]:
    """Pictures a second for every preset, 0 or 2 workers, whichever is faster on each side."""
    count = min(96 if quick else COUNT, len(photos.files))
    with tempfile.TemporaryDirectory() as scratch:
        return [_preset(photos, count, preset, repeats, Path(scratch)) for preset in PRESETS]


def _preset(photos: Photos, count: int, preset: str, repeats: int, cache: Path) -> Row:
    catalog = photos.catalog(count)
    pictures = open_pictures(catalog, SIZE, config=CacheConfig(folder=cache))
    transform = build_transform(AugmentationConfig(preset=preset), SIZE)
    mean, std = torch.tensor(plain.MEAN), torch.tensor(plain.STD)
    own = {
        f"foveate {workers} workers": Loader(
            pictures,
            catalog.labels,
            catalog.indices("train"),
            transform,
            BATCH,
            0,
            shuffle=True,
            workers=workers,
        )
        for workers in WORKERS
    }
    others = {
        f"{workers} workers": plain.loader(photos, count, preset, SIZE, BATCH, workers) for workers in WORKERS
    }
    epochs = iter(range(10**6))

    def foveate(loader: Loader) -> None:
        for batch in loader.epoch(next(epochs)):
            batch.prepare("cpu", mean, std)

    def plainly(loader: torch.utils.data.DataLoader) -> None:
        for _ in loader:
            pass

    ways = {name: lambda loader=loader: foveate(loader) for name, loader in own.items()}
    ways |= {name: lambda loader=loader: plainly(loader) for name, loader in others.items()}
    seconds = interleaved(ways, repeats)
    for loader in own.values():
        loader.close()
    own_name, own_best = better({name: values for name, values in seconds.items() if name in own})
    name, best = better({name: values for name, values in seconds.items() if name in others})
    note = f"{own_name} beside DataLoader with {name}; decoded, augmented, normalised"
    case = f"preset {preset}, {SIZE} px"
    return compare("loading", case, own_best, best, work=count, unit="pictures/s", note=note)
