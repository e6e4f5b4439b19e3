"""What the background tests leave in a run folder: a table of every answer, and a few of the changed pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.errors import DataError, RunError
from foveate.core.files import write_csv
from foveate.core.intervals import wilson
from foveate.core.reading import read_csv
from foveate.data.catalog import UNLABELLED
from foveate.evaluation.gallery import read_arrays, write_arrays

TABLE = "background_tests.csv"
SHEET = "background_tests.npz"
TESTS = ("original", "swapped", "blurred", "grey", "noise", "removed")
"""What was done to the background; ``original``: nothing, ``removed``: the object is gone and the background stays."""
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
        tests: dict[str, Any] = {test: self._accuracy(test) for test in TESTS if test in self.prediction}
        foreign = (self.background_label != UNLABELLED) & (self.background_label != self.label)
        if "swapped" in tests:
            follows = self.prediction["swapped"][foreign] == self.background_label[foreign]
            tests["swapped"]["as_background"] = float(follows.mean()) if len(follows) else None
        return {
            "n": len(self),
            "chance_majority": float(np.bincount(self.label).max() / len(self)),
            "chance_uniform": 1 / len(self.class_ids),
            **tests,
        }

    def _accuracy(self, test: str) -> dict[str, Any]:
        hits = self.prediction[test] == self.label
        correct = int(hits.sum())
        interval = wilson(correct, len(self))
        assert interval is not None
        return {
            "accuracy": correct / len(self),
            "accuracy_low": interval[0],
            "accuracy_high": interval[1],
            "correct": correct,
            "n": len(self),
            "balanced_accuracy": float(
                np.mean([hits[self.label == k].mean() for k in np.unique(self.label)])
            ),
            "probability": float(self.probability[test].astype(np.float64).mean()),
        }

    def to_csv(self, path: Path) -> None:
        """Write ``COLUMNS``, then ``<test>_prediction`` and ``<test>_probability`` of each test."""
        ids = (*self.class_ids, "")  # -1 = the last
        header, columns = list(COLUMNS), [self.path.tolist(), [self.split] * len(self)]
        columns += [
            [ids[k] for k in self.label],
            self.background.tolist(),
            [ids[k] for k in self.background_label],
        ]
        for test in self.prediction:
            header += [f"{test}_prediction", f"{test}_probability"]
            columns.append([ids[k] for k in self.prediction[test]])
            columns.append([f"{value:.9g}" for value in self.probability[test].tolist()])
        write_csv(Path(path), header, list(zip(*columns, strict=True)))

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
        needed = [*COLUMNS, *(f"{test}_{what}" for test in tests for what in ("prediction", "probability"))]
        missing = set(needed) - set(table.header)
        if missing or not tests or not table.rows:
            raise DataError(
                f"{path} has no rows or lacks the columns {sorted(missing)}; evaluate the run again."
            )
        index = {class_id: i for i, class_id in enumerate(class_ids)} | {"": UNLABELLED}
        columns = {name: table.column(name) for name in needed}

        def classes(name: str) -> np.ndarray:
            return np.array([index[value] for value in columns[name]], dtype=np.int64)

        try:
            return cls(
                class_ids=tuple(class_ids),
                split=columns["split"][0],
                path=np.array(columns["path"], dtype=np.str_),
                label=classes("label"),
                background=np.array(columns["background"], dtype=np.str_),
                background_label=classes("background_label"),
                prediction={test: classes(f"{test}_prediction") for test in tests},
                probability={
                    test: np.array([float(p) for p in columns[f"{test}_probability"]], dtype=np.float32)
                    for test in tests
                },
            )
        except (KeyError, ValueError, TypeError) as error:
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
        arrays = read_arrays(path)
        missing = {"path", "mask"} - set(arrays)
        if missing:
            raise RunError(f"{path} lacks {sorted(missing)}; evaluate the run again to write it.")
        return cls(arrays["path"], arrays["mask"], {test: arrays[test] for test in TESTS if test in arrays})
