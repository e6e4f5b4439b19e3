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
    """Ten classes; the pictures are written as PNG into the cache once."""

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
        labels_key, names_key, names_file = self.keys[label]
        binary = self.marks[1][0] in folder.others
        if binary:
            classes = [name for _, [name] in folder.lines(names_file)]
        else:
            meta = folder.root / self.marks[0][0]
            classes = [str(name) for name in _entry(meta, read_plain_pickle(meta), names_key, list)]
        arrays, rows = {}, list[Row]()
        for split, names in self.files.items():
            parts = list[np.ndarray]()
            for name in names:
                file = folder.root / (f"{name}.bin" if binary else name)
                pixels, labels = self._binary(file, label) if binary else self._pickled(file, labels_key)
                if pixels.shape != (len(labels), PIXELS):
                    raise DataError(
                        f"{file} has {len(labels)} labels and pixels of shape {pixels.shape}; fetch it again."
                    )
                start = sum(map(len, parts))
                for number, given in enumerate(labels):
                    where = f"{file}, picture {number}"
                    index = number_of(where, given, len(classes), first=0)
                    rows.append(Row(where, picture_name(split, start + number), index, split))
                parts.append(pixels)
            arrays[split] = np.concatenate(parts).reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        root = unpacked(arrays)
        return Published(
            classes, rows, notes=[f"Its pictures lie in arrays; they are in {root} as PNG."], root=root
        )

    def _pickled(self, file: Path, key: str) -> tuple[np.ndarray, list[Any]]:
        held = read_plain_pickle(file)
        return _entry(file, held, "data", np.ndarray), _entry(file, held, key, list)

    def _binary(self, file: Path, label: str) -> tuple[np.ndarray, list[Any]]:
        width = len(self.keys) + PIXELS
        content = np.frombuffer(file.read_bytes(), np.uint8)
        if len(content) % width:
            raise DataError(f"{file} has {len(content)} bytes, no multiple of {width}; fetch it again.")
        table = content.reshape(-1, width)
        place = len(self.keys) - 1 - [*self.keys].index(label)
        return table[:, -PIXELS:], table[:, place].tolist()


def _entry(file: Path, held: dict[str, Any], key: str, kind: type[Any]) -> Any:
    if not isinstance(held.get(key), kind):
        raise DataError(f"{file} holds no '{key}'; fetch it again.")
    return held[key]


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
