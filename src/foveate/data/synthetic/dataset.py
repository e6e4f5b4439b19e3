"""Plan the data set (which species stands on which ground) and write it as folders of PNG files.

Every choice is keyed by (seed, split, species, number), so a picture does not depend on how many others are
drawn, and two data sets that differ in ``tie`` alone hold the same animals.
"""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import Field, model_validator

from foveate.core.config import Config
from foveate.core.errors import DataError
from foveate.core.files import write_json
from foveate.core.reading import read_json
from foveate.core.rng import numpy_generator
from foveate.data.catalog import SPLITS, Catalog, Sample
from foveate.data.synthetic.backgrounds import BACKGROUNDS, Sheet, draw_sheet
from foveate.data.synthetic.marks import SPECIES
from foveate.data.synthetic.pictures import Picture, draw_picture

MANIFEST = "synthetic.json"
_DRAWING = 1
"""Raise when the same configuration no longer gives the same bytes; older folders are then not reused."""
_SHEETS = 4
"""Textures of each background in each split; no two splits share one: training saw no test ground."""

Progress = Callable[[int, int], None]
"""Called with (pictures written, pictures in all) after each picture."""


class SyntheticConfig(Config):
    """The embedded data set."""

    classes: int = Field(6, ge=2, le=len(SPECIES))
    """Number of species, and of backgrounds."""
    train: int = Field(80, ge=1, le=100_000)
    """Training pictures a species."""
    val: int = Field(20, ge=0, le=100_000)
    """Validation pictures a species."""
    test: int = Field(50, ge=0, le=100_000)
    """Test pictures a species."""
    size: int = Field(96, ge=32, le=1024)
    """Side of the pictures, pixels."""
    tie: float = Field(0.95, ge=0, le=1)
    """Chance that a training picture stands on its species' own background; else any other, evenly."""
    val_tie: float | None = Field(None, ge=0, le=1)
    """The same for validation pictures; none = as ``tie``, because they come from the same biased source.
    Test pictures are never tied: each background is equally likely for every species."""
    object_scale: tuple[float, float] = (0.56, 0.74)
    """Smallest and largest body length, head to tail, as a share of the picture's side."""
    turn: float = Field(20.0, ge=0, le=180)
    """Largest turn of the body away from head-up, degrees."""
    clutter: float = Field(3.0, ge=0, le=30)
    """Mean number of seeds and twigs that lie about."""
    seed: int = Field(0, ge=0)
    """Key of every random choice."""

    @model_validator(mode="after")
    def _check_scale(self) -> "SyntheticConfig":
        low, high = self.object_scale
        if not 0.2 <= low <= high <= 0.9:
            raise ValueError(f"object_scale must rise within 0.2 to 0.9, not {low} to {high}")
        return self


@dataclass(frozen=True)
class Planned:
    """One picture before it is drawn."""

    split: str
    species: str
    number: int
    """From 1 on, within split and species."""
    background: str

    @property
    def path(self) -> str:
        """Relative to the data set's root."""
        return f"{self.split}/{self.species}/{self.number:04d}.png"


def own_background(species: str) -> str:
    """The background to which ``species`` is tied."""
    return BACKGROUNDS[[kind.name for kind in SPECIES].index(species)]


def plan(config: SyntheticConfig) -> list[Planned]:
    """Every picture of the data set, by split, then species in alphabetical order, then number."""
    planned = []
    names = [kind.name for kind in SPECIES[: config.classes]]
    grounds = BACKGROUNDS[: config.classes]
    ties = {
        "train": config.tie,
        "val": config.tie if config.val_tie is None else config.val_tie,
        "test": 1 / config.classes,
    }
    for split in SPLITS:
        for species in sorted(names):
            own = own_background(species)
            others = [ground for ground in grounds if ground != own]
            for number in range(1, getattr(config, split) + 1):
                rng = numpy_generator(config.seed, "background", split, species, number)
                tied, other = rng.random() < ties[split], others[rng.integers(len(others))]
                planned.append(Planned(split, species, number, own if tied else other))
    return planned


def draw_planned(config: SyntheticConfig, items: list[Planned]) -> Iterator[Picture]:
    """Draw ``items`` in the order given; a picture does not depend on that order."""
    sheets: dict[tuple[str, str, int], Sheet] = {}
    split = ""
    for item in items:
        if item.split != split:
            split = item.split
            sheets.clear()
        rng = numpy_generator(config.seed, "picture", item.split, item.species, item.number)
        key = (item.split, item.background, int(rng.integers(_SHEETS)))
        if key not in sheets:
            sheets[key] = draw_sheet(
                item.background, numpy_generator(config.seed, "sheet", *key), config.size
            )
        yield draw_picture(
            item.species,
            item.background,
            rng,
            config.size,
            sheet=sheets[key],
            scale=config.object_scale,
            turn=config.turn,
            clutter=config.clutter,
        )


def mark_path(sample_path: str) -> str:
    """Where the mark's mask of the picture at ``sample_path`` lies, both relative to the root."""
    return f"marks/{sample_path}"


def write_dataset(out: Path, config: SyntheticConfig, progress: Progress | None = None) -> Catalog:
    """Draw the data set into ``out``, or take what is there if it was drawn from an equal configuration.

    Writes ``{train,val,test}/<species>/0001.png``, the animal's mask at ``masks/<the same path>``, the
    mark's mask at ``marks/<the same path>``, and ``synthetic.json`` with the configuration and each
    picture's background. The folder appears whole or not at all.

    Args:
        out: the folder to make; its parents are made too.
        config: what to draw.
        progress: called after each picture.

    Raises:
        DataError: ``out`` holds something else, another configuration, or is incomplete.
        OSError: the disk is full or not writable; ``out`` was not touched.
    """
    out = Path(out)
    items = plan(config)
    if not _is_free(out):
        _check_reusable(out, config, items)
        return _catalog(out, config, items)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for item in items:
            for top in ("", "masks", "marks"):
                (temporary / top / item.path).parent.mkdir(parents=True, exist_ok=True)
        for done, (item, picture) in enumerate(zip(items, draw_planned(config, items), strict=True), start=1):
            Image.fromarray(picture.image).save(temporary / item.path, compress_level=1)
            Image.fromarray(picture.mask).save(temporary / "masks" / item.path)
            Image.fromarray(picture.mark).save(temporary / mark_path(item.path))
            if progress is not None:
                progress(done, len(items))
        write_json(temporary / MANIFEST, _manifest(config, items))
        _move(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _check_reusable(out, config, items)
    return _catalog(out, config, items)


def read_backgrounds(root: Path) -> dict[str, str]:
    """Background of each picture (path -> name) of a data set that ``write_dataset`` made.

    Raises:
        DataError: there is no readable ``synthetic.json``.
    """
    manifest = _read_manifest(Path(root))
    return {path: ground for ground, paths in manifest["backgrounds"].items() for path in paths}


def _is_free(out: Path) -> bool:
    if not out.exists():
        return True
    if not out.is_dir():
        raise DataError(f"{out} is a file; name a folder for the synthetic data set.")
    return not any(out.iterdir())


def _move(temporary: Path, out: Path) -> None:
    try:
        if out.is_dir():
            out.rmdir()  # empty, or somebody filled it meanwhile
        os.rename(temporary, out)
    except OSError as error:
        # Another process drew the same folder meanwhile; the caller checks what it wrote.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _manifest(config: SyntheticConfig, items: list[Planned]) -> dict[str, Any]:
    names = {item.species for item in items}
    return {
        "drawing": _DRAWING,
        "config": config.model_dump(mode="json"),
        "species": {
            kind.name: {"mark": kind.description, "own_background": own_background(kind.name)}
            for kind in SPECIES
            if kind.name in names
        },
        "tied": _tied_shares(items),
        "backgrounds": {
            ground: [item.path for item in items if item.background == ground]
            for ground in BACKGROUNDS[: config.classes]
        },
    }


def _tied_shares(items: list[Planned]) -> dict[str, float]:
    """Share of each split's pictures that stand on their species' own background, as drawn."""
    total = Counter(item.split for item in items)
    tied = Counter(item.split for item in items if item.background == own_background(item.species))
    return {split: round(tied[split] / total[split], 4) for split in SPLITS if total[split]}


def _read_manifest(root: Path) -> dict[str, Any]:
    try:
        return read_json(root / MANIFEST, dict, DataError)
    except DataError as error:
        raise DataError(
            f"{root} has no readable {MANIFEST} ({error}); it is not a synthetic data set. Name another folder."
        ) from None


def _check_reusable(out: Path, config: SyntheticConfig, items: list[Planned]) -> None:
    manifest = _read_manifest(out)
    if manifest.get("drawing") != _DRAWING:
        raise DataError(
            f"{out} was drawn by another version of Foveate; name another folder or delete this one."
        )
    wanted, found = config.model_dump(mode="json"), manifest.get("config")
    if found != wanted:
        there = found if isinstance(found, dict) else {}
        changes = [
            f"{k}: {there.get(k)!r} there, {v!r} wanted" for k, v in wanted.items() if there.get(k) != v
        ]
        raise DataError(
            f"{out} was drawn with other settings ({'; '.join(changes)}); "
            "name another folder or delete this one."
        )
    for item in items:
        for path in (item.path, f"masks/{item.path}", mark_path(item.path)):
            if not (out / path).is_file():
                raise DataError(
                    f"{out} is incomplete: {path} is missing; delete the folder to draw it again."
                )


def _catalog(out: Path, config: SyntheticConfig, items: list[Planned]) -> Catalog:
    classes = tuple(sorted(kind.name for kind in SPECIES[: config.classes]))
    samples = tuple(
        Sample(item.path, classes.index(item.species), item.split, mask=f"png:masks/{item.path}")
        for item in items
    )
    return Catalog(out, classes, samples)
