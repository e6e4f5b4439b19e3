"""Whole training epochs, with loading and augmentation, beside the plain loop."""

import tempfile
import time
from pathlib import Path

from benchmarks import plain
from benchmarks.jobs import LR, Rounds, build_job
from benchmarks.measure import Row, better, compare
from benchmarks.photos import Photos
from foveate.data.cache import CacheConfig, open_pictures
from foveate.training import fit

CASES = (
    ("mobilenetv3_small_100", 160, 512),
    ("mobilenetv3_small_100", 224, 384),
    ("resnet18", 160, 192),
    ("resnet18", 224, 128),
)
"""(network, side in pixels, pictures an epoch): as many as a few seconds take."""
BATCH = 32
WORKERS = (0, 2)


def run(photos: Photos, repeats: int, quick: bool = False) -> list[Row]:
    """Pictures a second, and what the cache cost before."""
    rows: list[Row] = []
    for network, size, count in CASES[:1] if quick else CASES:
        rows.append(_train(photos, network, size, 96 if quick else count, repeats))
    sizes = (160,) if quick else (160, 224)
    return rows + [_cache(photos, size, 96 if quick else 512, repeats) for size in sizes]


def _train(photos: Photos, network: str, size: int, count: int, repeats: int) -> Row:
    count = min(count, len(photos.files))
    loops = {
        f"{workers} workers": plain.Training(
            network, len(photos.classes), plain.loader(photos, count, "standard", size, BATCH, workers), LR
        )
        for workers in WORKERS
    }
    rounds = Rounds({name: loop.epoch for name, loop in loops.items()})
    with tempfile.TemporaryDirectory() as scratch:
        job = build_job(
            photos, count, network, size, {"epochs": repeats + 1},
            cache=Path(scratch) / "cache", folder=Path(scratch) / "run", batch_size=BATCH, observer=rounds,
        )  # fmt: skip
        fit(job)
    precision = next(d["value"] for d in job.decisions.as_list() if d["name"].startswith("precision"))
    seconds = {name: values[1:] for name, values in rounds.seconds.items()}  # the first epoch warms up
    foveate = seconds.pop("foveate")
    name, best = better(seconds)
    others = ", ".join(f"{n}: {count * len(v) / sum(v):.1f}" for n, v in seconds.items() if n != name)
    note = f"plain loop with {name} ({others}); auto chose {precision}; {count} pictures an epoch"
    case = f"{network}, {size} px"
    return compare("training", case, foveate, best, work=count, unit="pictures/s", note=note)


def _cache(photos: Photos, size: int, count: int, repeats: int) -> Row:
    """Building it once, beside one epoch of decoding in the plain loop (loader alone, its better one)."""
    count = min(count, len(photos.files))
    catalog = photos.catalog(count)
    loaders = {
        f"{workers} workers": plain.loader(photos, count, "none", size, BATCH, workers) for workers in WORKERS
    }
    built: list[float] = []
    seconds: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(min(repeats, 3) + 1):
        with tempfile.TemporaryDirectory() as scratch:
            started = time.perf_counter()
            open_pictures(catalog, size, config=CacheConfig(folder=Path(scratch)))
            built.append(time.perf_counter() - started)
        for name, loader in loaders.items():
            started = time.perf_counter()
            for _ in loader:
                pass
            seconds[name].append(time.perf_counter() - started)
        if not turn:
            built.clear()
            for values in seconds.values():
                values.clear()
    name, best = better(seconds)
    note = f"once for each set and size, beside one epoch of decoding in DataLoader ({name}), not augmented"
    return compare("building the cache", f"{size} px", built, best, work=count, unit="pictures/s", note=note)
