"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): the archive for Python, whose pickles are read without running them, and
the binary one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foveate.core.errors import DataError, refusals_in_words
from foveate.data.layouts.layout import Folder, Layout, Published, Row, number_of
from foveate.data.layouts.plain_pickle import read_plain_pickle
from foveate.data.layouts.unpacked import picture_name, unpacked

SIDE = 32
PIXELS = 3 * SIDE * SIDE


class Cifar10(Layout):
    """Ten classes; the pictures are written as BMP into the cache once."""

    name = "CIFAR-10"
    marks = (
        ("batches.meta", "data_batch_1", "test_batch"),
        ("batches.meta.txt", "data_batch_1.bin", "test_batch.bin"),
    )
    torchvision = "CIFAR10"
    page = "https://www.cs.toronto.edu/~kriz/cifar.html"
    licence = "none stated; cite Krizhevsky, 2009"
    files: ClassVar[Mapping[str, Sequence[str]]] = {
        "train": [f"data_batch_{number}" for number in range(1, 6)],
        "test": ["test_batch"],
    }
    keys: ClassVar[Mapping[str, tuple[str, str, str]]] = {"": ("labels", "label_names", "batches.meta.txt")}
    """{choice of classes: (labels and names in the pickles, names beside the binary files)}, the usual one first; the
    binary rows begin with the labels in reversed order."""

    @refusals_in_words()
    def read(self, folder: Folder, label: str) -> Published:
        label = label or next(iter(self.keys))
        binary = self.marks[1][0] in folder.others
        if binary:
            classes = [name for _, [name] in folder.lines(self.keys[label][2])]
        else:
            (classes,) = _entries(folder.root / self.marks[0][0], **{self.keys[label][1]: list})
        arrays: dict[str, np.ndarray] = {}
        rows = []
        for split, names in self.files.items():
            batches = list[np.ndarray]()
            for name in names:
                file = folder.root / (f"{name}.bin" if binary else name)
                pixels, labels = (self._binary if binary else self._pickled)(file, label)
                if pixels.shape != (len(labels), PIXELS):
                    shape = f"{len(labels)} labels and pixels of shape {pixels.shape}"
                    raise DataError(f"{file} has {shape}; fetch it again.")
                for number, given in enumerate(labels):
                    where, place = (
                        f"{file}, picture {number}",
                        picture_name(split, sum(map(len, batches)) + number),
                    )
                    rows.append(Row(where, place, number_of(where, given, len(classes), first=0), split))
                batches.append(pixels)
            arrays[split] = np.concatenate(batches).reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        root = unpacked(arrays)
        notes = [f"Its pictures lie in arrays; they are in {root} as BMP."]
        return Published([str(name) for name in classes], rows, notes=notes, root=root)

    def _pickled(self, file: Path, label: str) -> list[Any]:
        return _entries(file, data=np.ndarray, **{self.keys[label][0]: list})

    def _binary(self, file: Path, label: str) -> list[Any]:
        content, width = np.frombuffer(file.read_bytes(), np.uint8), len(self.keys) + PIXELS
        if len(content) % width:
            raise DataError(f"{file} has {len(content)} bytes, no multiple of {width}; fetch it again.")
        table = content.reshape(-1, width)
        return [table[:, -PIXELS:], table[:, len(self.keys) - 1 - [*self.keys].index(label)].tolist()]


def _entries(file: Path, **kinds: type[Any]) -> list[Any]:
    """What a pickle holds by these names, of these types."""
    held = read_plain_pickle(file)
    for name, kind in kinds.items():
        if not isinstance(held.get(name), kind):
            raise DataError(f"{file} holds no '{name}'; fetch it again.")
    return [held[name] for name in kinds]


class Cifar100(Cifar10):
    """A hundred classes; ``--label column:coarse`` takes the twenty above them."""

    name = "CIFAR-100"
    marks = (("meta", "train", "test"), ("fine_label_names.txt", "train.bin", "test.bin"))
    torchvision = "CIFAR100"
    labels = ("fine", "coarse")
    files: ClassVar[Mapping[str, Sequence[str]]] = {"train": ["train"], "test": ["test"]}
    keys: ClassVar[Mapping[str, tuple[str, str, str]]] = {
        "fine": ("fine_labels", "fine_label_names", "fine_label_names.txt"),
        "coarse": ("coarse_labels", "coarse_label_names", "coarse_label_names.txt"),
    }
