"""Reading a folder of explanations, which is written by ``explanations``: its manifest, raw maps and their records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from foveate.core.config import parse
from foveate.core.errors import RunError
from foveate.core.files import fitting
from foveate.core.reading import parse_json, read_json
from foveate.evaluation.gallery import read_arrays
from foveate.experiment.records import Record

SCHEMA = 1
FOLDER = "explanations"
"""In a run's folder, where nothing else is said; the run's report shows what is there."""
MANIFEST = "manifest.json"
RECORD = "record"
"""The key of a picture's record (JSON text) in its ``.npz``."""


@dataclass(frozen=True)
class Explanations:
    """A finished folder of explanations."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path | str) -> "Explanations":
        """Read the folder.

        Raises:
            RunError: the folder holds no explanations, or its manifest is damaged.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if manifest is None:
            raise RunError(f"{folder} holds no explanations: it has no {MANIFEST}.")
        return cls(folder, manifest)

    def maps(self, picture: str) -> dict[str, np.ndarray]:
        """Raw maps of a picture, as the manifest names it: {name of the column: (h, w) float32}.

        Raises:
            RunError: there is no such picture, or its file is damaged.
        """
        arrays = read_arrays(self.folder / maps_name(picture))
        return {name: values for name, values in arrays.items() if name != RECORD}

    @property
    def sheets(self) -> list[Path]:
        """The HTML sheets."""
        return [self.folder / name for name in self.manifest["sheets"] if name.endswith(".html")]


class _Answer(Record):
    prediction: str
    probability: float
    target: str
    target_probability: float


class PictureRecord(Record):
    path: str
    sha256: str
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    label: str | None
    answers: list[_Answer] = Field(min_length=1)


class _Path(Record):
    path: str


class _Listed(PictureRecord, _Path):
    overlays: dict[str, str]
    maps: str


class _Explained(Record):
    name: str
    weights_sha256: str
    layers: dict[str, str]


class _Column(Record):
    name: str


class Manifest(Record):
    schema_version: int
    identity: dict[str, Any]
    pictures: Sequence[_Path]
    runs: list[_Explained] = Field(min_length=1)
    finished: bool


class FinishedManifest(Manifest):
    pictures: Sequence[_Listed]
    columns: list[_Column]
    sheets: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> "FinishedManifest":
        names = {column.name for column in self.columns}
        for picture in self.pictures:
            if not names <= picture.overlays.keys() or len(picture.answers) != len(self.runs):
                raise ValueError(f"the entry of {picture.path} is incomplete")
        return self


def maps_name(path: str) -> str:
    """The file of a picture's maps, below the folder."""
    return f"maps/{named(path, '.npz')}"


def named(path: str, suffix: str) -> str:
    """``path + suffix``, with a name that a disk can hold."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{fitting(name, suffix)}"


def record_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The record of a picture, among its maps.

    Raises:
        RunError: it is missing or damaged.
    """
    if RECORD not in arrays:
        raise RunError("A file of maps lacks its record.")
    record = parse_json(str(arrays[RECORD]), dict, "The record of a file of maps")
    parse(PictureRecord, record, source="The record of a file of maps", error=RunError)
    return record


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest; None where there is none.

    Raises:
        RunError: it is damaged, or of a newer Foveate.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    manifest = read_json(path, dict)
    known = parse(Manifest, manifest, source=str(path), error=RunError)
    if known.schema_version > SCHEMA:
        raise RunError(f"{path} was written by a newer Foveate (schema {known.schema_version}).")
    if known.finished:
        parse(FinishedManifest, manifest, source=str(path), error=RunError)
    return manifest
