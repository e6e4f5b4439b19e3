"""What the background tests leave in a run folder: a table of every answer, and a few of the changed pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.errors import DataError
from foveate.core.files import write_csv
from foveate.core.reading import read_csv
from foveate.data.catalog import UNLABELLED
from foveate.evaluation.attributes import accuracy_of
from foveate.evaluation.gallery import read_arrays, write_arrays
from foveate.evaluation.unlike_training import BACKGROUNDS

TABLE = "background_tests.csv"
SHEET = "background_tests.npz"
TESTS = tuple(BACKGROUNDS)
COLUMNS = ("path", "split", "label", "background", "background_label")


@dataclass(frozen=True)
class BackgroundTable:
    """The answers to N changed pictures, one row a picture."""

    class_ids: tuple[str, ...]
    split: str
    path: np.ndarray
    """(N,) str."""
    label: np.ndarray
    """(N,) int64, index into ``class_ids``."""
    background: np.ndarray
    """(N,) str: the picture whose background lies behind the object in ``swapped``; "" = none."""
    background_label: np.ndarray
    """(N,) int64: that picture's class; -1 = none."""
    prediction: Mapping[str, np.ndarray]
    """{test: (N,) int64}; ``swapped`` is absent when there was no second picture."""
    probability: Mapping[str, np.ndarray]
    """{test: (N,) float32}: probability of the true class."""

    def __len__(self) -> int:
        return len(self.path)

    def summary(self) -> dict[str, Any]:
        """Every number, ready for JSON.

        For each test ``accuracy`` with its 95 % Wilson interval, ``correct``, ``n``, ``balanced_accuracy`` (mean recall
        of the classes that occur) and ``probability`` (mean probability of the true class). ``swapped`` also has
        ``as_background``, the share of answers that name the class of the background, among the pictures whose
        background is of another class. Beside them ``n``, ``chance_majority`` (always answering the most frequent class
        of these pictures) and ``chance_uniform``.
        """
        found: dict[str, Any] = {}
        for test, predicted in self.prediction.items():
            hits = predicted == self.label
            found[test] = {
                **accuracy_of(hits),
                "balanced_accuracy": float(
                    np.mean([hits[self.label == k].mean() for k in np.unique(self.label)])
                ),
                "probability": float(self.probability[test].astype(np.float64).mean()),
            }
        if "swapped" in found:
            foreign = (self.background_label != UNLABELLED) & (self.background_label != self.label)
            follows = self.prediction["swapped"][foreign] == self.background_label[foreign]
            found["swapped"]["as_background"] = float(follows.mean()) if len(follows) else None
        return {
            "n": len(self),
            "chance_majority": float(np.bincount(self.label).max() / len(self)),
            "chance_uniform": 1 / len(self.class_ids),
            **found,
        }

    def to_csv(self, path: Path) -> None:
        """Write ``COLUMNS``, then ``<test>_prediction`` and ``<test>_probability`` of each test."""
        ids = (*self.class_ids, "")  # -1 = the last
        columns: dict[str, list[str]] = {
            "path": self.path.tolist(),
            "split": [self.split] * len(self),
            "label": [ids[k] for k in self.label],
            "background": self.background.tolist(),
            "background_label": [ids[k] for k in self.background_label],
        }
        for test, predicted in self.prediction.items():
            columns[f"{test}_prediction"] = [ids[k] for k in predicted]
            columns[f"{test}_probability"] = [f"{value:.9g}" for value in self.probability[test].tolist()]
        write_csv(Path(path), list(columns), list(zip(*columns.values(), strict=True)))

    @classmethod
    def from_csv(cls, path: Path, class_ids: Sequence[str]) -> "BackgroundTable":
        """Read what ``to_csv`` wrote.

        Args:
            class_ids: ids in the order of the labels, as in ``predictions.csv``.

        Raises:
            DataError: the file is missing or empty, lacks a column, or holds what does not belong there.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"{path} does not exist; evaluate the run to write it.")
        table = read_csv(path, COLUMNS, advice="; evaluate the run again")
        tests = [test for test in TESTS if f"{test}_prediction" in table.header]
        missing = {f"{test}_probability" for test in tests} - set(table.header)
        if missing or not tests or not table.rows:
            raise DataError(
                f"{path} has no rows or lacks the columns {sorted(missing)}; evaluate the run again."
            )
        index = {class_id: i for i, class_id in enumerate(class_ids)} | {"": UNLABELLED}

        def classes(name: str) -> np.ndarray:
            return np.array([index[value] for value in table.column(name)], dtype=np.int64)

        try:
            return cls(
                tuple(class_ids),
                table.column("split")[0],
                np.array(table.column("path")),
                classes("label"),
                np.array(table.column("background")),
                classes("background_label"),
                {test: classes(f"{test}_prediction") for test in tests},
                {test: np.array(table.column(f"{test}_probability"), dtype=np.float32) for test in tests},
            )
        except (KeyError, ValueError) as error:
            raise DataError(
                f"{path} cannot be read ({error}); it was changed, evaluate the run again."
            ) from None


@dataclass(frozen=True)
class BackgroundSheet:
    """k pictures as the tests changed them, made small, for people to look at."""

    path: np.ndarray
    """(k,) str."""
    mask: np.ndarray
    """(k, H, W) uint8, 255 = object."""
    pictures: Mapping[str, np.ndarray]
    """{test: (k, H, W, 3) uint8}."""

    def save(self, path: Path) -> None:
        """Write one compressed ``.npz`` without pickled objects."""
        write_arrays(path, {"path": self.path, "mask": self.mask, **self.pictures})

    @classmethod
    def load(cls, path: Path) -> "BackgroundSheet":
        """Read what ``save`` wrote.

        Raises:
            RunError: the file is damaged or lacks an array.
        """
        arrays = read_arrays(path, ("path", "mask"))
        return cls(arrays["path"], arrays["mask"], {test: arrays[test] for test in TESTS if test in arrays})
