"""Plan the data set (which species stands on which ground) and write it as folders of PNG files.

Every choice is keyed by the seed and the picture's path, so a picture does not depend on how many others are drawn, and
two data sets that differ in ``tie`` alone hold the same animals.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.core.errors import DataError
from foveate.core.files import write_json
from foveate.core.reading import read_json
from foveate.core.rng import numpy_generator
from foveate.data.catalog import SPLITS
from foveate.data.synthetic.grounds import BACKGROUNDS
from foveate.data.synthetic.marks import SPECIES
from foveate.data.synthetic.scene import Picture, SyntheticConfig, draw_picture

MANIFEST = "synthetic.json"
OWN_BACKGROUND = dict(zip((kind.name for kind in SPECIES), BACKGROUNDS, strict=True))
"""{species: the background to which it is tied}."""
_DRAWING = 2
"""Raise when the same configuration no longer gives the same bytes; older folders are then not reused."""


def plan(config: SyntheticConfig) -> dict[str, str]:
    """{path relative to the data set's root: background}, by split, then species in alphabetical order, then number."""
    planned = {}
    val_tie = config.tie if config.val_tie is None else config.val_tie
    for split, tie in zip(SPLITS, (config.tie, val_tie, 1 / config.classes), strict=True):
        for species in sorted(kind.name for kind in SPECIES[: config.classes]):
            own = OWN_BACKGROUND[species]
            others = [ground for ground in BACKGROUNDS[: config.classes] if ground != own]
            for number in range(1, getattr(config, split) + 1):
                path = f"{split}/{species}/{number:04d}.png"
                rng = _keyed(config, "background", path)
                tied, other = rng.random() < tie, others[rng.integers(len(others))]
                planned[path] = own if tied else other
    return planned


def draw_planned(config: SyntheticConfig, planned: Mapping[str, str]) -> Iterator[Picture]:
    """Draw in the order given; a picture does not depend on that order."""
    for path, background in planned.items():
        (species,) = (kind for kind in SPECIES if kind.name == path.split("/")[1])
        yield draw_picture(species, background, _keyed(config, "picture", path), config)


def _keyed(config: SyntheticConfig, purpose: str, path: str) -> np.random.Generator:
    split, species, file = path.split("/")
    return numpy_generator(config.seed, purpose, split, species, int(Path(file).stem))


def write_dataset(
    out: Path, config: SyntheticConfig, progress: Callable[[int, int], None] | None = None
) -> None:
    """Draw the data set into ``out``, or leave what is there if it was drawn from an equal configuration.

    Writes ``{train,val,test}/<species>/0001.png``, the animal's mask at ``masks/<the same path>``, the mark's mask at
    ``marks/<the same path>``, and ``synthetic.json`` with the configuration and each picture's background. The folder
    appears whole or not at all. ``progress`` is called with (pictures written, pictures in all).

    Raises:
        DataError: ``out`` holds something else, another configuration, or is incomplete.
        OSError: the disk is full or not writable; ``out`` was not touched.
    """
    out, planned = Path(out), plan(config)
    if out.is_file():
        raise DataError(f"{out} is a file; name a folder for the synthetic data set.")
    if not out.exists() or not any(out.iterdir()):
        temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            for done, (path, drawn) in enumerate(
                zip(planned, draw_planned(config, planned), strict=True), start=1
            ):
                for top, values in zip(("", "masks", "marks"), drawn, strict=True):
                    (temporary / top / path).parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(values).save(temporary / top / path, compress_level=1)
                if progress is not None:
                    progress(done, len(planned))
            about = {"drawing": _DRAWING, "config": config.model_dump(mode="json"), "backgrounds": planned}
            write_json(temporary / MANIFEST, about)
            if out.exists() and not any(out.iterdir()):
                out.rmdir()
            if not out.exists():  # else another process drew it meanwhile; what it wrote is looked at
                os.rename(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    _refuse_other(out, config, planned)


def _refuse_other(out: Path, config: SyntheticConfig, planned: Mapping[str, str]) -> None:
    try:
        found = read_json(out / MANIFEST, dict, DataError)
    except DataError as error:
        raise DataError(
            f"{out} has no readable {MANIFEST} ({error}); it is not a synthetic data set. Name another folder."
        ) from None
    there = found.get("config")
    there = there if isinstance(there, dict) else {}
    wanted = config.model_dump(mode="json").items()
    changes = [f"{k}: {there.get(k)!r} there, {v!r} wanted" for k, v in wanted if there.get(k) != v]
    files = (Path(top, path) for path in planned for top in ("", "masks", "marks"))
    if found.get("drawing") != _DRAWING:
        what = "was drawn by another version of Foveate"
    elif changes:
        what = f"was drawn with other settings ({'; '.join(changes)})"
    elif lost := next((file for file in files if not (out / file).is_file()), None):
        what = f"is incomplete: {lost} is missing"
    else:
        return
    raise DataError(f"{out} {what}; name another folder or delete this one.")
