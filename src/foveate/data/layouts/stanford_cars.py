"""Stanford Cars (Krause et al., 2013)."""

from typing import Any

from foveate.core.errors import DataError
from foveate.data.catalog import UNLABELLED
from foveate.data.layouts.layout import Folder, Layout, Published, Row, box_of, number_of

ALL, META, TRAIN = "cars_annos.mat", "devkit/cars_meta.mat", "devkit/cars_train_annos.mat"
TESTS = tuple(
    f"{place}cars_test_annos{kind}.mat" for kind in ("_withlabels", "") for place in ("", "devkit/")
)
EDGES = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


class StanfordCars(Layout):
    """One list of all, or the devkit, in which the test pictures have no class without the list of their labels."""

    name = "Stanford Cars"
    marks = ((ALL,), (META, TRAIN))

    def read(self, folder: Folder, label: str) -> Published:
        test = next((name for name in TESTS if name in folder.others), "")
        whole = ALL in folder.others
        (classes,) = folder.mat(ALL if whole else META, "class_names")
        rows = [
            _row(f"{folder.root / name}, entry {number}", record, split, len(classes))
            for split, name in ({"": ALL} if whole else {"train": TRAIN, "test": test}).items()
            for number, record in enumerate(folder.mat(name, "annotations")[0] if name else (), start=1)
        ]
        return Published([str(name) for name in classes], rows)


def _row(where: str, record: Any, split: str, count: int) -> Row:
    """Of a record of MATLAB's, which says the split itself where that is ""."""
    try:
        path = f"cars_{split}/{record['fname']}" if split else str(record["relative_im_path"])
        box = box_of(where, [record[edge] for edge in EDGES], first=1)
        given = record["class"] if "class" in record.dtype.names else None
        split = split or ("test" if record["test"] else "train")
    except (ValueError, IndexError, TypeError) as error:
        raise DataError(f"{where}: {error}; fetch the file again.") from None
    return Row(where, path, UNLABELLED if given is None else number_of(where, given, count), split, box)
