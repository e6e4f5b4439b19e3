"""A network that learns nothing here, named as on the command line, and the pictures that it looks at."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from foveate.core.errors import ConfigError
from foveate.data.cache import Progress
from foveate.data.catalog import UNLABELLED, Catalog
from foveate.evaluation.subject import Subject
from foveate.experiment.prepare import Prepared, keep_together
from foveate.experiment.specification import DataConfig
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig


def frozen(
    name: str, catalog: Catalog, config: DataConfig, device: torch.device, progress: Progress
) -> Subject:
    """The network ``name`` in evaluation mode.

    Args:
        name: of timm ("resnet18", with pretrained weights), a weights file or run folder, or "NAME:none" for random
            weights.
        config: size and fit of the pictures; size None: the network's own.

    Raises:
        ConfigError, WeightsError: it cannot be built.
    """
    model = build_network(_model_config(name), classes=len(catalog.classes), size=config.size, seed=0)
    model = model.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return Subject(model, catalog, device, model.input_size, config.fit, config.cache, progress=progress)


def _model_config(name: str) -> ModelConfig:
    path = Path(name).expanduser()
    if path.exists():
        return ModelConfig(weights=str(path))
    base, _, weights = name.partition(":")
    if weights not in ("", "none"):
        raise ConfigError(f"'{name}' is no backbone: after the colon only 'none' (random weights) can stand.")
    if path.suffix in (".safetensors", ".pth", ".pt"):
        raise ConfigError(f"The weights file {path} does not exist.")
    return ModelConfig(backbone=base, weights=weights or "pretrained")


def pool_of(prepared: Prepared) -> tuple[Catalog, list[str]]:
    """The labelled pictures that may be looked at, without splits, near copies in one group; what is left alone, in
    words: the pictures that would test a trained network."""
    catalog = prepared.catalog
    rows = [i for i, s in enumerate(catalog.samples) if s.split in ("train", "val") and s.label != UNLABELLED]
    left = len(catalog.indices("test"))
    notes = [f"{left} test pictures were left alone; {len(rows)} were compared on."] if left else []
    return undivided(catalog, rows, prepared.alike), notes


def undivided(catalog: Catalog, rows: Sequence[int], alike: Iterable[Sequence[str]]) -> Catalog:
    """These rows without splits; the pictures of each set ``alike`` are in one group."""
    pool = catalog.subset(rows)
    return keep_together(pool.with_splits([""] * len(pool)), [list(paths) for paths in alike])
