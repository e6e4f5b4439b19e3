"""python results/total_shortcut.py drawn OUT, or OBJECTS SCENES OUT: pictures for the study total-shortcut.

In train and val every class has one background of its own; in test all backgrounds are equally likely for every class.
``drawn``: the insects of the demo. OBJECTS is a data set with masks, SCENES one of scenes: the objects are cut out and
stand before scenes, one class of scenes for each class of objects. OUT gets train, val and test, masks, and a table
with the attribute ``background``.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from foveate.augmentation.background_swap import compose
from foveate.core.reading import read_json
from foveate.core.rng import numpy_generator
from foveate.data.cache import DecodedPictures
from foveate.data.discover import discover
from foveate.data.synthetic import SyntheticConfig, write_dataset

SIDE = 160
SHARES = {"train": 0.45, "val": 0.25, "test": 0.3}
"""Of the objects; scenes of the test are other pictures than those of train and val."""


def write_table(out: Path, backgrounds: dict[str, str]) -> None:
    """pictures.csv of {split/class/name.png: background}."""
    with (out / "pictures.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "split", "label", "mask", "background"])
        for path, background in backgrounds.items():
            split, label, _ = path.split("/")
            table.writerow([path, split, label, f"masks/{path}", background])


def drawn(out: Path) -> None:
    """Insects, fully tied."""
    config = SyntheticConfig(train=60, val=30, test=50, size=112, tie=1.0)
    write_dataset(out, config)
    write_table(out, read_json(out / "synthetic.json", dict, OSError)["backgrounds"])


def before_scenes(objects: Path, scenes: Path, out: Path) -> None:
    """Cut-out objects before scenes."""
    things, places = discover(objects).catalog, discover(scenes).catalog
    pictures, grounds = DecodedPictures(things, SIDE), DecodedPictures(places, SIDE, "crop")
    kinds = places.classes[: len(things.classes)]
    pools = {}
    for label, kind in enumerate(kinds):
        rows = numpy_generator(0, "scenes", kind).permutation(np.flatnonzero(places.labels == label))
        pools[kind] = {"test": rows[: len(rows) // 2], "train": rows[len(rows) // 2 :]}
    found = {}
    for label, name in enumerate(things.classes):
        rows = [row for row in np.flatnonzero(things.labels == label).tolist() if things.samples[row].mask]
        rows = numpy_generator(0, "objects", name).permutation(rows)
        ends = np.round(np.cumsum(list(SHARES.values())) * len(rows)).astype(int)
        for split, part in zip(SHARES, np.split(rows, ends[:-1]), strict=True):
            for row in part.tolist():
                image, mask, _ = pictures.read(row)
                if not mask.any():
                    continue
                rng = numpy_generator(0, "scene", things.samples[row].path)
                kind = kinds[label] if split != "test" else kinds[rng.integers(len(kinds))]
                ground = grounds.read(int(rng.choice(pools[kind]["test" if split == "test" else "train"])))[0]
                shown = compose(image.float(), ground.float(), mask.float() / 255).round().to(torch.uint8)
                path = f"{split}/{name}/{Path(things.samples[row].path).stem}.png"
                for top, values in (("", shown.permute(1, 2, 0)), ("masks", mask[0])):
                    (out / top / path).parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(values.numpy()).save(out / top / path)
                found[path] = kind
    write_table(out, found)


if __name__ == "__main__":
    *sources, target = sys.argv[1:]
    if sources == ["drawn"]:
        drawn(Path(target))
    else:
        before_scenes(*map(Path, sources), Path(target))
