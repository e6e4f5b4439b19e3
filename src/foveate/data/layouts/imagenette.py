"""Imagenette, Imagewoof and other parts of ImageNet: train/ and val/ with folders called by their WordNet id."""

import re
from collections import Counter, defaultdict

from foveate.data.layouts.layout import DEEPEST, Folder, Layout, Published, Row

_WORDNET = re.compile(r"n\d{8}", re.ASCII)
PARTS = {"train": "train", "val": "test"}


class Imagenette(Layout):
    """Classes are the words of the WordNet ids, which predictions carry. val/, of which figures are published, is the
    test; noisy_imagenette.csv is not used."""

    name = "Imagenette or another part of ImageNet"
    torchvision = "Imagenette"
    page = "https://github.com/fastai/imagenette"
    licence = "Apache-2.0; of the pictures ImageNet's terms (non-commercial research)"

    def places(self, there: frozenset[str]) -> list[str]:
        below: dict[str, set[str]] = defaultdict(set)
        for path in there:
            *above, name = path.removesuffix("/").split("/")
            if path.endswith("/") and above and above[-1] in PARTS:
                below["/".join(above)].add(name)
        found = {name for name, inside in below.items() if all(map(_WORDNET.fullmatch, inside))}
        places = (name.removesuffix("train") for name in found if name == "train" or name.endswith("/train"))
        return sorted(place for place in places if f"{place}val" in found and place.count("/") <= DEEPEST)

    def read(self, folder: Folder, label: str) -> Published:
        parts = {path: path.split("/") for path in folder.pictures if path.split("/")[0] in PARTS}
        ids = sorted({folders[1] for folders in parts.values()})
        number = {name: k for k, name in enumerate(ids)}
        rows = [
            Row(f"{folder.root}", path, number[folders[1]], PARTS[folders[0]])
            for path, folders in parts.items()
        ]
        note = "val/, of which figures are published, is the test; validation pictures are drawn from train/."
        return Published(_words(ids), rows, ids, [note])


def _words(ids: list[str]) -> list[str]:
    """The first name of each WordNet id, with the id where two share it; the id where it is not known."""
    from foveate.core import torchvision_guard  # noqa: F401, I001  (before timm)
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-22k")
    known = {*info.label_names()}
    names = [info.label_name_to_description(key).split(",")[0] if key in known else key for key in ids]
    count = Counter(names)
    return [name if count[name] == 1 else f"{name} ({key})" for key, name in zip(ids, names, strict=True)]
