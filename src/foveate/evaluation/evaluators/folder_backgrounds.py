"""The object before pictures of the user's own: the places where the network will be asked."""

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from foveate.core import config
from foveate.core.errors import DataError
from foveate.core.rng import numpy_generator
from foveate.data.cache import DecodedPictures
from foveate.data.catalog import Catalog, Sample
from foveate.data.decode import DecodeError
from foveate.data.discover import picture_list
from foveate.evaluation.evaluators.variants import SEED, OtherBackgrounds
from foveate.evaluation.subject import Subject


class FolderBackgrounds(OtherBackgrounds):
    """Accuracy before pictures of a folder, some for each object; its subfolders are counted apart.

    They are cut to their middle square. Those that cannot be read are left out, and named in what is found.

    Raises:
        DataError: the folder does not exist, or none of its pictures can be read.
    """

    class Config(config.Config):
        kind: Literal["folder_backgrounds"] = "folder_backgrounds"
        folder: Path
        """Of the pictures; relative to the data folder."""
        each: int = Field(default=3, ge=1, le=1000)
        """Backgrounds behind each object, drawn by the object's path; where there are fewer, all."""

    def __init__(self, config: Config, subject: Subject) -> None:
        super().__init__(config, subject)
        folder = subject.catalog.root / config.folder
        if not folder.is_dir():
            raise DataError(
                f"There is no folder {folder}; name one with pictures to be put behind the objects."
            )
        root, self.paths = picture_list([folder], unreadable=True)
        catalog = Catalog(root, (), tuple(Sample(path) for path in self.paths))
        self.pictures = DecodedPictures(catalog, subject.side, "crop")
        self.unreadable: dict[str, str] = {}
        self._read = lru_cache(maxsize=512)(self._read_one)

    def behind(self, path: str, side: int) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for row in numpy_generator(SEED, "folder background", path).permutation(len(self.paths)).tolist():
            picture = self._read(row)
            if picture is not None:
                found[self.paths[row]] = picture
            if len(found) == self.config.each:
                break
        if not found:
            raise DataError(
                f"No picture of {self.pictures.catalog.root} can be read ({self.unreadable[self.paths[0]]}); name "
                "another folder of backgrounds."
            )
        return found

    def part(self, name: str) -> str:
        return name.partition("/")[0] if "/" in name else "."

    def about(self) -> dict[str, Any]:
        """``backgrounds``: pictures of the folder in each subfolder ("." = the folder itself); ``unreadable``: those
        that were drawn and cannot be read, with the reason."""
        return {"backgrounds": dict(Counter(map(self.part, self.paths))), "unreadable": self.unreadable}

    def _read_one(self, row: int) -> torch.Tensor | None:
        try:
            return self.pictures.read(row)[0]
        except DecodeError as error:
            self.unreadable[self.paths[row]] = error.reason or str(error)
            return None
