"""PlantVillage (Hughes and Salathé, 2015; the pictures of Mohanty et al., 2016): raw/color, grayscale and segmented."""

import re

from foveate.core.errors import DataError
from foveate.core.reading import read_json
from foveate.data.layouts.layout import Folder, Layout, Published, Row
from foveate.data.mask_matching import stem

COLOUR, GREY, CUT = "color/", "grayscale/", "segmented/"
SUFFIX = "_final_masked"
LEAVES = ("leaf-map.json", "../leaf-map.json")


class PlantVillage(Layout):
    """The colour pictures; masks are their copies on black. Pictures of one leaf stay together where leaf-map.json says
    which those are."""

    name = "PlantVillage"
    marks = ((COLOUR, CUT), (COLOUR, GREY))

    def places(self, there: frozenset[str]) -> list[str]:
        """Where folders are called ``Apple___healthy``."""
        named = {
            path.split(COLOUR)[0] for path in there if re.fullmatch(rf"(.*/)?{COLOUR}\w[^/]*___[^/]+/", path)
        }
        return [place for place in super().places(there) if place in named]

    def read(self, folder: Folder, label: str) -> Published:
        paths = sorted(path for path in folder.pictures if path.startswith(COLOUR) and path.count("/") > 1)
        classes = sorted({path.split("/")[1] for path in paths})
        index = {name: k for k, name in enumerate(classes)}
        cut = {key.removesuffix(SUFFIX): path for key, path in folder.by_stem(CUT).items()}
        leaves = next((name for name in LEAVES if name in folder.others), None)
        leaf_of = read_json(folder.root / leaves, dict, DataError) if leaves else {}
        rows = []
        for path in paths:
            name = path.split("/")[1]
            mask = cut.get(stem(path.removeprefix(COLOUR)))
            known = leaf_of.get(stem(path).rpartition("___")[2].lower(), [])
            group = next((leaf for leaf in known if leaf.startswith(f"{name}:::")), "")
            rows.append(Row(path, path, index[name], "", f"black:{mask}" if mask else "", group))
        grey = any(path.startswith(GREY) for path in folder.pictures)
        return Published(
            classes, rows, notes=[f"{GREY} holds the same pictures and is left out."] if grey else []
        )
