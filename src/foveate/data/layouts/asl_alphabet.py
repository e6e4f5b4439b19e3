"""ASL alphabet (Akash, Kaggle): hand signs, a folder for each, and one loose test picture of each."""

from foveate.core.errors import DataError
from foveate.data.layouts.layout import Folder, Layout, Published, Row

TRAIN, TEST = "asl_alphabet_train/", "asl_alphabet_test/"


class AslAlphabet(Layout):
    """A test picture's class stands in its name (``A_test.jpg``)."""

    name = "ASL alphabet"
    marks = ((TRAIN, TEST), (TRAIN,))

    def read(self, folder: Folder, label: str) -> Published:
        train = {
            path: path.removeprefix(TRAIN).removeprefix(TRAIN)
            for path in folder.pictures
            if path.startswith(TRAIN)
        }
        test = [path for path in folder.pictures if path.startswith(TEST)]
        classes = sorted({below.split("/")[0] for below in train.values() if "/" in below})
        index = {name: k for k, name in enumerate(classes)}
        rows = [
            Row(path, path, index[below.split("/")[0]], "train")
            for path, below in train.items()
            if "/" in below
        ]
        for path in test:
            name = path.rpartition("/")[2].partition("_test")[0]
            if name not in index:
                raise DataError(
                    f"{folder.root / path}: there is no class {name} in {TRAIN}; remove or rename it."
                )
            rows.append(Row(path, path, index[name], "test"))
        note = f"The published test is {len(test)} pictures, at most one of each sign: too few to tell methods apart."
        return Published(classes, rows, notes=[note] if test else [])
