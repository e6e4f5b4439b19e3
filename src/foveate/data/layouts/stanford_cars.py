"""Stanford Cars (Krause et al., 2013)."""

from collections.abc import Iterator
from typing import Any

from foveate.core.errors import DataError
from foveate.data.catalog import UNLABELLED
from foveate.data.layouts.layout import Folder, Layout, Published, Row, box_of, number_of

ALL = "cars_annos.mat"
LABELLED_TEST = "cars_test_annos_withlabels.mat"
EDGES = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


class StanfordCars(Layout):
    """One list (cars_annos.mat) or the devkit, whose test pictures have no class without {LABELLED_TEST}."""

    name = "Stanford Cars"
    marks = ((ALL,), ("devkit/cars_meta.mat", "devkit/cars_train_annos.mat"))

    def read(self, folder: Folder, label: str) -> Published:
        whole = ALL in folder.others
        (classes,) = folder.mat(ALL if whole else "devkit/cars_meta.mat", "class_names")
        rows = []
        for where, record, split in self._records(folder, whole):
            try:
                path = str(record["relative_im_path" if whole else "fname"])
                edges = [record[edge] for edge in EDGES]
                given = record["class"] if "class" in record.dtype.names else None
                part = split or ("test" if record["test"] else "train")
            except (ValueError, IndexError, TypeError) as error:
                raise DataError(f"{where}: {error}; fetch the file again.") from None
            number = UNLABELLED if given is None else number_of(where, given, len(classes))
            folder_of = "" if whole else f"cars_{split}/"
            rows.append(Row(where, folder_of + path, number, part, box_of(where, edges, first=1)))
        return Published([str(name) for name in classes], rows)

    def _records(self, folder: Folder, whole: bool) -> Iterator[tuple[str, Any, str]]:
        """(file and place, a record of MATLAB's, split where the file says it)."""
        files = {ALL: ""}
        if not whole:
            labelled = [name for name in (LABELLED_TEST, f"devkit/{LABELLED_TEST}") if name in folder.others]
            test = labelled or [name for name in folder.others if name == "devkit/cars_test_annos.mat"]
            files = {"devkit/cars_train_annos.mat": "train", **dict.fromkeys(test[:1], "test")}
        for name, split in files.items():
            for number, record in enumerate(folder.mat(name, "annotations")[0], start=1):
                yield f"{folder.root / name}, entry {number}", record, split
