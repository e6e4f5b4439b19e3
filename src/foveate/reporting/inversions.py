"""Class images of a run as a folder.

DIR/NAME.png        one picture for each class, or DIR/channel-K.png for each channel
DIR/sheet.png       all of them with their names
DIR/scores.csv      the score before each update
DIR/manifest.json   what was made and how; written last, so a folder with it is whole
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from foveate.core.files import fitting, sha256_of_file, write_bytes, write_csv, write_json
from foveate.core.lock import check_new
from foveate.core.manifest import WEIGHTS
from foveate.experiment.records import versions_of
from foveate.experiment.run_folder import RunFolder
from foveate.explanation.inversion import Inversion
from foveate.reporting.raster import grid, png

SCHEMA = 1
SIDE = 224
"""Least side of a picture on the sheet in px."""
PACKAGES = ("foveate", "torch", "timm", "torchvision", "numpy", "pillow")


def names_of(found: Inversion, class_names: Sequence[str]) -> list[str]:
    """What each picture is of, in words."""
    if found.layer is None:
        return [class_names[number] for number in found.numbers]
    return [f"channel {number}" for number in found.numbers]


def write_inversion(found: Inversion, out: Path, run: RunFolder | None, class_names: Sequence[str]) -> Path:
    """Write the pictures, the sheet, the scores and the manifest into the new folder ``out``.

    Raises:
        DataError: ``out`` holds files.
    """
    check_new(out)
    names = names_of(found, class_names)
    scale = max(1, -(-SIDE // min(found.images.shape[2:])))  # whole, so that a pixel stays a pixel
    entries: dict[str, dict[str, Any]] = {}
    cells = []
    for i, (number, name, image) in enumerate(zip(found.numbers, names, found.images, strict=True)):
        file = fitting(safe_name(name), ".png")
        if file in entries:
            file = fitting(safe_name(name), f"-{i}.png")
        picture = to_picture(image)
        write_bytes(out / file, png(picture))
        score, probability = float(found.final[i]), None
        if found.probabilities is not None:
            probability = float(found.probabilities[i])
        entries[file] = {
            "file": file, "name": name, "number": number, "first_score": float(found.scores[0, i]), "score": score,
            "probability": probability,
        }  # fmt: skip
        large = picture.resize([scale * side for side in picture.size], Image.Resampling.NEAREST)
        cells.append((large, [name, f"p {probability:.2f}" if found.layer is None else f"{score:.2f}"]))
    write_bytes(out / "sheet.png", png(grid(cells, across=5)))
    rows = [[step + 1, *map(float, row)] for step, row in enumerate(found.scores)]
    write_csv(out / "scores.csv", ["update", *names], rows)
    facts = {"layer": found.layer, "settings": found.settings, "pictures": list(entries.values())}
    return write_manifest(out, run, facts)


def write_manifest(out: Path, run: RunFolder | None, facts: Mapping[str, Any]) -> Path:
    """What was made, of which run, with which versions: the last file of the folder ``out``, which is returned."""
    weights = None if run is None else sha256_of_file(run.folder / WEIGHTS)
    folder = None if run is None else str(run.folder.resolve())
    made: dict[str, Any] = {"schema_version": SCHEMA, "run": folder, "weights_sha256": weights}
    write_json(out / "manifest.json", {**made, **facts, "versions": versions_of(*PACKAGES)})
    return out


def to_picture(image: torch.Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] -> RGB."""
    return Image.fromarray(image.permute(1, 2, 0).mul(255).round().byte().numpy())


def safe_name(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.+-]+", "_", name).strip("._") or "_"
