"""Data sets as their authors publish them: recognised by their files, read with their own splits, boxes and masks."""

import os
from pathlib import Path

from foveate.core.errors import DataError
from foveate.data.layouts.aircraft import Aircraft
from foveate.data.layouts.asl_alphabet import AslAlphabet
from foveate.data.layouts.cifar import Cifar10, Cifar100
from foveate.data.layouts.cub import Cub
from foveate.data.layouts.flowers import Flowers
from foveate.data.layouts.food101 import Food101
from foveate.data.layouts.imagenette import Imagenette
from foveate.data.layouts.layout import Folder, Layout, catalog_of
from foveate.data.layouts.pets import Pets
from foveate.data.layouts.plant_village import PlantVillage
from foveate.data.layouts.stanford_cars import StanfordCars
from foveate.data.layouts.stanford_dogs import StanfordDogs
from foveate.data.layouts.wild_bees import WildBees
from foveate.data.listing import Scan

__all__ = ["DATA_SETS", "catalog_of", "recognise"]

DATA_SETS: tuple[type[Layout], ...] = (
    WildBees,
    Cub,
    Aircraft,
    StanfordCars,
    StanfordDogs,
    Pets,
    Flowers,
    Cifar10,
    Cifar100,
    Imagenette,
    AslAlphabet,
    Food101,
    PlantVillage,
)
"""Of two that fit one folder the first counts."""


def recognise(data: Path, found: Scan) -> tuple[Layout, Folder] | None:
    """The layout of a folder in which ``found`` lies, and where; None when it is none of them.

    Raises:
        DataError: there are several.
    """
    there = frozenset([*found.others, *found.pictures, *(f"{folder}/" for folder in found.folders)])
    places: dict[str, Layout] = {}
    for layout in (kind() for kind in DATA_SETS):
        for prefix in layout.places(there):
            places.setdefault(prefix, layout)
    places = {
        prefix: layout
        for prefix, layout in places.items()
        if not any(prefix != other and prefix.startswith(other) for other in places)
    }
    if len(places) > 1:
        listed = ", ".join(
            f"{layout.name} in {prefix or 'the folder itself'}" for prefix, layout in places.items()
        )
        raise DataError(f"{data} holds several published data sets ({listed}); give one of their folders.")
    for prefix, layout in places.items():
        pictures, others = (
            frozenset(_below(prefix, path) for path in kind) for kind in (found.pictures, found.others)
        )
        return layout, Folder(data / prefix, pictures, others)
    return None


def _below(prefix: str, path: str) -> str:
    if path.startswith(prefix):
        return path[len(prefix) :]
    return Path(os.path.relpath(path, prefix)).as_posix()
