"""A few pictures with their maps and masks, kept in the run folder as ``maps.npz`` for the report to draw."""

import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foveate.core.errors import RunError
from foveate.core.files import write_bytes
from foveate.core.rng import numpy_generator
from foveate.data.batch import Batch
from foveate.data.catalog import Catalog
from foveate.evaluation.predictions import PredictionTable
from foveate.explanation.maps import class_and_tap_map, min_max

FIXED = ("index", "image", "mask")
COUNT = 12
"""Pictures at most."""


@dataclass(frozen=True)
class Maps:
    """n pictures with maps."""

    index: np.ndarray
    """(n,) int64, row in the Catalog."""
    image: np.ndarray
    """(n, H, W, 3) uint8."""
    mask: np.ndarray
    """(n, H, W) uint8, 255 = object; zero where there is no mask."""
    maps: dict[str, np.ndarray]
    """{name: (n, h, w) float16 in [0, 1]}."""

    def save(self, path: Path) -> None:
        """Write one compressed ``.npz`` without pickled objects."""
        maps = {name: values.astype(np.float16) for name, values in self.maps.items()}
        write_arrays(path, {"index": self.index, "image": self.image, "mask": self.mask, **maps})

    @classmethod
    def load(cls, path: Path) -> "Maps":
        """Read what ``save`` wrote.

        Raises:
            RunError: the file is damaged or lacks an array.
        """
        arrays = read_arrays(path, FIXED)
        fixed = {name: arrays.pop(name) for name in FIXED}
        fixed["image"] = _bytes(fixed["image"])
        return cls(**fixed, maps=arrays)


def _bytes(image: np.ndarray) -> np.ndarray:
    """The picture as it can be shown: a question about it may go beyond black and white."""
    return image if image.dtype == np.uint8 else image.round().clip(0, 255).astype(np.uint8)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write one compressed ``.npz`` without pickled objects."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(Path(path), buffer.getvalue())


# What zipfile, zlib and numpy raise where bytes of an archive were changed.
_UNREADABLE = (
    OSError, ValueError, TypeError, EOFError, LookupError, NotImplementedError, MemoryError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_arrays(path: Path, needed: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read what ``write_arrays`` wrote.

    Raises:
        RunError: the file is damaged, or lacks one of the arrays ``needed``.
    """
    try:
        # Opened here: np.load leaves a damaged file open.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        raise RunError(f"{path} cannot be read ({error}); evaluate the run again to write it.") from None
    missing = sorted(set(needed) - set(arrays))
    if missing:
        raise RunError(f"{path} lacks {missing}; evaluate the run again to write it.")
    return arrays


def choose_rows(table: PredictionTable, catalog: Catalog, *, split: str = "test") -> np.ndarray:
    """Catalog rows of twelve pictures of ``split`` for the gallery: half wrong, half right.

    Drawn at random, not picked: a gallery of the best cases proves nothing. The draw is seeded by the
    catalog, so that the runs of a study show the same pictures where their answers agree. Only pictures with
    a mask when the split has any.
    """
    row_of = {sample.path: i for i, sample in enumerate(catalog.samples)}
    rows = table.of_split(split)
    masked = np.array([bool(catalog.samples[row_of[path]].mask) for path in rows.path.tolist()])
    if masked.any():
        rows = rows.subset(masked)
    order = numpy_generator(catalog.hash, "gallery").permutation(len(rows))
    wrong, right = order[~rows.correct[order]], order[rows.correct[order]]
    n_wrong = min(len(wrong), max(COUNT // 2, COUNT - len(right)))
    chosen = [*wrong[:n_wrong], *right[: COUNT - n_wrong]]
    return np.array([row_of[path] for path in rows.path[chosen].tolist()], dtype=np.int64)


def compute_maps(model: Any, batches: Iterable[Batch], *, device: torch.device | str, tap: str) -> Maps:
    """Class map of the true class and tap map of the pictures in ``batches`` (bytes), at least one, in their order.

    Names: ``class map``, ``tap <name>``, and those of the network's own ``drawings``. An unlabelled picture gets a
    class map of zeros.
    """
    parts: list[dict[str, np.ndarray]] = []
    for batch in batches:
        prepared = batch.prepare(device, model.mean, model.std)
        of_class, of_tap = class_and_tap_map(model, prepared.images, prepared.targets.clamp(min=0), tap)
        known = (prepared.targets >= 0).view(-1, 1, 1)
        maps = {"class map": min_max(of_class) * known, f"tap {tap}": min_max(of_tap)}
        maps |= model.drawings(prepared.images) if hasattr(model, "drawings") else {}
        part = {
            "index": batch.index.numpy(),
            "image": _bytes(batch.images.permute(0, 2, 3, 1).numpy()),
            "mask": (batch.masks[:, 0] * batch.has_mask.view(-1, 1, 1)).numpy(),
        }
        parts.append(part | {name: values.cpu().numpy() for name, values in maps.items()})
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    fixed = {name: found.pop(name) for name in FIXED}
    return Maps(**fixed, maps=found)
