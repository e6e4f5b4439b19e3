"""The wild bees of Chiaburu et al. (2022), which Learn 2 Look trains on: lists as CUB's, parts as brush strokes."""

import re
from collections.abc import Sequence

from foveate.core.errors import DataError
from foveate.data.class_folders import ClassTable, class_table
from foveate.data.layouts.cub import Cub, Images
from foveate.data.layouts.layout import Folder

_NAME = re.compile(r"(?:.*/)?(?P<observation>(?P<species>[^/_]+_[^/_]+)_[^/_.]+)(?:_[^/_]*)?\.\w+")
_LABELS = "/image_class_labels.txt"


class WildBees(Cub):
    """Masks unite the strokes of head, thorax and abdomen, gaps closed. Classes are those of the lists, else the
    species in the pictures' names; pictures of one observation, hence one animal, stay together."""

    name = "the wild bees of Learn 2 Look"
    marks = (("images.txt", "part_locs.txt", "parts.txt", "widths_heights.txt"),)

    def choices(self, folder: Folder) -> Sequence[str]:
        """Folders with classes of their own, as ``22_species``."""
        found = (name.removesuffix(_LABELS) for name in folder.others if name.endswith(_LABELS))
        return sorted(name for name in found if "/" not in name)

    def classes(self, folder: Folder, label: str, images: Images) -> tuple[ClassTable, dict[str, int]]:
        if label or {"classes.txt", "image_class_labels.txt"} <= folder.others:
            return super().classes(folder, f"{label}/" if label else "", images)
        species = {}
        for key, (where, path) in images.items():
            found = _NAME.fullmatch(path)
            if found is None:
                raise DataError(f"{where}: {path} does not begin with genus and species; add classes.txt.")
            species[key] = found["species"]
        table = class_table(sorted(set(species.values())))
        return table, {key: table.index[name] for key, name in species.items()}

    def masks(self, folder: Folder, images: Images) -> dict[str, str]:
        drawn = {words[0]: where for where, words in folder.lines("part_locs.txt", 3)}
        for key, where in drawn.items():
            if key not in images:
                raise DataError(f"{where}: {key} is no id of images.txt; fetch the lists again.")
        return {key: f"brush:part_locs.txt#{key}" for key in drawn}

    def group(self, path: str) -> str:
        found = _NAME.fullmatch(path)
        return found["observation"] if found else ""
