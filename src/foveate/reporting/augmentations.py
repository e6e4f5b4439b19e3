"""A contact sheet of augmentations: rows are pictures, columns what becomes of them, with masks and labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foveate.augmentation import TRANSFORMS, build_transforms
from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.core.files import write_bytes
from foveate.core.progress import Progress
from foveate.core.rng import numpy_generator
from foveate.data.batch import Batch
from foveate.data.cache import DecodedPictures
from foveate.data.catalog import Catalog
from foveate.data.presets import PRESETS
from foveate.data.square import Fit
from foveate.data.steps import STEPS
from foveate.data.transforms import AugmentationConfig, build_transform
from foveate.models.networks import Network
from foveate.reporting.pictures import outlined
from foveate.reporting.raster import Cell, grid, png

SHOWN = Progress(epoch=1000, share=0.75, training=0.75)
"""Where training stands on the sheet: what grows has nearly grown."""
SIDE = 168
"""Of a picture in px."""


def write_augmentations(
    catalog: Catalog, names: Sequence[str], out: Path, model: Network, *, count: int = 6, seed: int = 0,
    settings: Mapping[str, Mapping[str, Any]] | None = None, fit: Fit = "squash",
) -> list[str]:  # fmt: skip
    """Write the sheet (PNG): ``count`` pictures of different classes, and each as every augmentation makes it.

    A mask is drawn as a line around what it says is object; below a picture stands what its label has become.

    Args:
        names: presets, steps (``foveate.data.steps``) and batch transforms, in the order of the columns.
        model: for transforms that ask the network; its size, mean and std are used.
        settings: {name: its settings}.

    Returns:
        The paths of the pictures.

    Raises:
        ConfigError: an unknown name or setting, no pictures.
    """
    columns = [(name, _maker(name, (settings or {}).get(name, {}), catalog, seed)) for name in names]
    if unused := set(settings or {}) - set(names):
        raise ConfigError(
            f"--set names {sorted(unused)}, which --with does not; it names {', '.join(names)}."
        )
    rows = _pick(catalog, count, numpy_generator(seed, "preview"))
    if not len(rows):
        raise ConfigError(
            "None of the pictures has a label, which augmentations may change; give a labelled set."
        )
    pictures = DecodedPictures(catalog.subset(rows), model.input_size, fit)
    images, masks, has_mask = pictures.read_many(range(len(rows)))
    raw = Batch(images, torch.from_numpy(catalog.labels[rows]), masks, has_mask, torch.arange(len(rows)))
    made = [_cells(raw, images, catalog)]
    for _, make in columns:
        batch, shown = make(raw, model)
        made.append(_cells(batch, shown, catalog))
    cells = [cell for row in zip(*made, strict=True) for cell in row]
    write_bytes(out, png(grid(cells, len(made), ["as it is", *names])))
    return [catalog.samples[row].path for row in rows]


def _pick(catalog: Catalog, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of labelled pictures, those with masks first, from as many classes as there are."""
    labels = catalog.labels
    masked = np.array([bool(sample.mask) for sample in catalog.samples])
    rows = rng.permutation(np.flatnonzero(labels >= 0))
    rows = rows[np.argsort(~masked[rows], kind="stable")]
    turn = np.zeros(len(rows), dtype=np.int64)  # how many of its class come before it
    for label in np.unique(labels[rows]):
        mine = labels[rows] == label
        turn[mine] = np.arange(mine.sum())
    return rows[np.lexsort((np.arange(len(rows)), turn, ~masked[rows]))][:count]


def transform_config(name: str, settings: Mapping[str, Any]) -> Any:
    """The settings of a batch transform.

    Raises:
        ConfigError: a setting that it does not have.
    """
    return parse(TRANSFORMS[name].Config, dict(settings), source=name)


def _maker(name: str, settings: Mapping[str, Any], catalog: Catalog, seed: int) -> Any:
    """(raw batch, network) -> (changed batch, images (B, 3, H, W) uint8)."""
    if name in TRANSFORMS:
        chosen = transform_config(name, settings)
        (transform,) = build_transforms((chosen,), catalog.counts().tolist())

        def mixed(raw: Batch, model: Network) -> tuple[Batch, torch.Tensor]:
            batch = raw.prepare(model.mean.device, model.mean, model.std)
            batch = transform(batch, model, numpy_generator(seed, "preview", name), SHOWN)
            mean, std = (value.view(1, 3, 1, 1) for value in (model.mean, model.std))
            images = ((batch.images * std + mean).clamp(0, 1) * 255).round().to(torch.uint8)
            last = slice(
                batch.views - 1, None, batch.views
            )  # of linked views the last: the first is the plain one
            return batch.replace(
                masks=(batch.masks[last] * 255).round().to(torch.uint8), has_mask=batch.has_mask[last],
                targets=batch.targets[last], index=batch.index[last],
            ), images[last]  # fmt: skip

        return mixed
    if name not in PRESETS and name not in STEPS:
        known = ", ".join([*PRESETS, *STEPS, *TRANSFORMS])
        raise ConfigError(f"There is no augmentation '{name}'; choose of {known}.")
    if settings and name in PRESETS:
        raise ConfigError(f"The preset '{name}' has no settings of its own; compose its steps in a file.")
    choice = {"preset": name} if name in PRESETS else {"steps": ({"kind": name, "p": 1.0, **settings},)}
    varied = parse(AugmentationConfig, {"interpolation": "bicubic", **choice}, source=name)

    def stepped(raw: Batch, model: Network) -> tuple[Batch, torch.Tensor]:
        change = build_transform(varied, model.input_size)
        pairs = [change(raw.images[k], raw.masks[k], seed, "preview", name, k) for k in range(len(raw))]
        masks = torch.stack([mask for _, mask in pairs if mask is not None])
        return raw.replace(masks=masks), torch.stack([image for image, _ in pairs])

    return stepped


def _cells(batch: Batch, images: torch.Tensor, catalog: Catalog) -> list[Cell]:
    found = []
    for k in range(len(batch)):
        mask = batch.masks[k, 0].numpy() if bool(batch.has_mask[k]) else None
        target, names = batch.targets[k], catalog.classes
        if target.is_floating_point():  # mixed: the shares above 1 %, the largest first, a line each
            shares = sorted(
                ((share, label) for label, share in enumerate(target.tolist()) if share > 0.01), reverse=True
            )
            words = [f"{share:.2f} {names[label]}" for share, label in shares]
        else:
            words = [names[int(target)]]
        found.append((outlined(images[k].permute(1, 2, 0).numpy(), mask, SIDE), words))
    return found
