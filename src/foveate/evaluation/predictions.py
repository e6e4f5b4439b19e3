"""PredictionTable: one row a picture, the base of every number that is reported.

It is written into the run folder as ``predictions.csv``. Probabilities and losses are float32 and written
with nine significant digits, which is exact: a table read back equals the table written, bit for bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.errors import DataError, shown
from foveate.core.files import write_csv
from foveate.core.reading import read_csv
from foveate.data.catalog import ATTRIBUTE, UNLABELLED, Catalog

COLUMNS = ("path", "split", "group", "label", "prediction", "correct", "loss", "confidence", "entropy")
PROBABILITY = "prob_"
POSSIBLE = "possible"
# A spreadsheet that saves the table loses digits; a larger difference means that somebody changed it.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class PredictionTable:
    """N predictions over C classes; prediction, confidence and entropy follow from these columns."""

    class_ids: tuple[str, ...]
    """Original class ids, one for each label index; what ``label`` and ``prediction`` carry in the file."""
    path: np.ndarray
    """(N,) str."""
    split: np.ndarray
    """(N,) str."""
    group: np.ndarray
    """(N,) str, "" = none."""
    label: np.ndarray
    """(N,) int64, index into ``class_ids``, -1 = unlabelled."""
    probabilities: np.ndarray
    """(N, C) float32, rows sum to one."""
    loss: np.ndarray
    """(N,) float32, negative log-likelihood of the true class in nats, NaN = unlabelled."""
    look: Mapping[str, np.ndarray] = field(default_factory=dict)
    """{column: (N,) float32}: where the network looked (``foveate.evaluation.evaluators.look``), NaN = unknown."""
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)
    """{attribute: (N,) str}: what is known of the pictures beside their class, "" = unknown."""
    possible: np.ndarray | None = None
    """(N, C) bool: the classes that a picture may be (``evaluation.answering``); written, and not read again."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """{path: why}: pictures that should have been predicted and could not be read; not kept in the file."""

    def __post_init__(self) -> None:
        n, kinds = len(self.path), dict.fromkeys(("path", "split", "group"), np.str_)
        found: dict[str, Any] = {
            "class_ids": tuple(self.class_ids),
            "probabilities": np.asarray(self.probabilities, dtype=np.float32),
            "look": {k: np.asarray(v, dtype=np.float32) for k, v in self.look.items()},
            "attributes": {k: np.asarray(v, dtype=np.str_).reshape(-1) for k, v in self.attributes.items()},
        }
        for name, kind in (kinds | {"label": np.int64, "loss": np.float32}).items():
            found[name] = np.asarray(getattr(self, name), dtype=kind).reshape(-1)
        for name, value in found.items():
            object.__setattr__(self, name, value)
        needed = (n, len(self.class_ids))
        if self.probabilities.shape != needed:
            raise DataError(
                f"{n} pictures and {needed[1]} classes need probabilities of shape {needed}, got "
                f"{self.probabilities.shape}."
            )
        columns = {name: found[name] for name in ("split", "group", "label", "loss")}
        for name, values in (columns | found["attributes"] | found["look"]).items():
            if values.shape != (n,):
                raise DataError(f"Column '{name}' has shape {values.shape}; {n} pictures need {(n,)}.")
        for name in self.look:
            if name in (*COLUMNS, POSSIBLE) or name.startswith((PROBABILITY, ATTRIBUTE)):
                raise DataError(f"A look column cannot be called '{name}'; give it a free name.")
        if n and not (self.label.min() >= UNLABELLED and self.label.max() < needed[1]):
            raise DataError(f"Labels must lie in -1..{needed[1] - 1}; got {sorted(set(self.label))}.")
        broken = ~np.isfinite(self.probabilities).all(axis=1)
        if broken.any():
            raise DataError(
                f"The network's output for {self.path[broken][0]} is not finite; its weights are broken."
            )

    @classmethod
    def from_logits(
        cls,
        logits: np.ndarray,
        labels: np.ndarray,
        paths: Sequence[str],
        class_ids: Sequence[str],
        *,
        splits: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        **more: Any,
    ) -> "PredictionTable":
        """From logits or log-probabilities (N, C) and label indices (N,), -1 = unlabelled; ``more``: further fields.

        The loss is taken from the log-softmax in float64, so that it stays finite where a probability
        underflows.
        """
        logs = log_softmax(np.asarray(logits, dtype=np.float64))
        labels = np.asarray(labels, dtype=np.int64)
        loss = np.where(labels >= 0, -logs[np.arange(len(labels)), labels], np.nan)
        split, group = (np.array([""] * len(labels) if v is None else v) for v in (splits, groups))
        return cls(tuple(class_ids), np.array(paths), split, group, labels, np.exp(logs), loss, **more)

    @classmethod
    def from_catalog(
        cls, logits: np.ndarray, catalog: Catalog, index: np.ndarray, look: Mapping[str, np.ndarray] | None = None
    ) -> "PredictionTable":  # fmt: skip
        """From logits or log-probabilities (N, C) of the catalog rows ``index`` (N,)."""
        samples = [catalog.samples[i] for i in index]
        return cls.from_logits(
            logits,
            np.array([s.label for s in samples], dtype=np.int64),
            [s.path for s in samples],
            catalog.class_ids,
            splits=[s.split for s in samples],
            groups=[s.group for s in samples],
            look=look or {},
            attributes={
                name: [s.attributes[k] for s in samples] for k, name in enumerate(catalog.attributes)
            },
        )

    def __len__(self) -> int:
        return len(self.path)

    @cached_property
    def prediction(self) -> np.ndarray:
        """(N,) int64, the most probable class (the first of several equal ones)."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def labelled(self) -> np.ndarray:
        """(N,) bool."""
        return self.label != UNLABELLED

    @cached_property
    def correct(self) -> np.ndarray:
        """(N,) bool; False for unlabelled rows."""
        return self.prediction == self.label

    @cached_property
    def confidence(self) -> np.ndarray:
        """(N,) float32, probability of the predicted class."""
        return self.probabilities.max(axis=1)

    @cached_property
    def entropy(self) -> np.ndarray:
        """(N,) float32, in nats; log C for a network that knows nothing."""
        p = self.probabilities.astype(np.float64)
        return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=1).astype(np.float32)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits with labelled pictures, in order of appearance."""
        return tuple(dict.fromkeys(self.split[self.labelled].tolist()))

    def subset(self, rows: np.ndarray) -> "PredictionTable":
        """The table of these rows (integer indices or a bool mask)."""
        columns = {name: getattr(self, name)[rows] for name in ("path", "split", "group", "label", "loss")}
        look = {name: values[rows] for name, values in self.look.items()}
        known = {name: values[rows] for name, values in self.attributes.items()}
        possible = None if self.possible is None else self.possible[rows]
        return replace(
            self, probabilities=self.probabilities[rows], look=look, attributes=known, possible=possible, **columns
        )  # fmt: skip

    def of_split(self, split: str) -> "PredictionTable":
        """The labelled rows of ``split``.

        Raises:
            DataError: there is none.
        """
        rows = np.flatnonzero((self.split == split) & self.labelled)
        if not len(rows):
            raise DataError(
                f"No labelled picture in split '{split}'; splits with labels: {', '.join(self.splits)}."
            )
        return self.subset(rows)

    def to_csv(self, path: Path) -> None:
        """Write ``cells``."""
        write_csv(Path(path), *self.cells())

    def cells(self) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The file's header and rows.

        The columns ``COLUMNS``, one ``prob_<class id>`` for every class, ``attribute_<name>`` for every attribute, the
        look columns, then ``possible``, class ids joined by `` | ``.
        Unlabelled rows have an empty label, correct and loss; a look value that is NaN is empty.
        """
        ids = (*self.class_ids, "")  # of an unlabelled row, -1, the last
        columns: dict[str, Sequence[Any]] = {
            "path": self.path.tolist(),
            "split": self.split.tolist(),
            "group": self.group.tolist(),
            "label": [ids[k] for k in self.label],
            "prediction": [ids[k] for k in self.prediction],
            "correct": self._stated_correct(self.prediction),
            "loss": _numbers(self.loss),
            "confidence": _numbers(self.confidence),
            "entropy": _numbers(self.entropy),
        }
        columns |= {PROBABILITY + ids[k]: _numbers(p) for k, p in enumerate(self.probabilities.T)}
        columns |= {ATTRIBUTE + name: values.tolist() for name, values in self.attributes.items()}
        columns |= {name: _numbers(values) for name, values in self.look.items()}
        if self.possible is not None:
            columns[POSSIBLE] = [" | ".join(np.array(self.class_ids)[row]) for row in self.possible]
        return list(columns), list(zip(*columns.values(), strict=True))

    def _stated_correct(self, prediction: np.ndarray) -> list[str]:
        hits = (prediction == self.label).tolist()
        return [str(int(hit)) if known else "" for known, hit in zip(self.labelled, hits, strict=True)]

    @classmethod
    def from_csv(cls, path: Path) -> "PredictionTable":
        """Read what ``to_csv`` wrote.

        Raises:
            DataError: the file is missing, lacks a column, holds a word where a number belongs, or its
                prediction, correct or confidence columns contradict its probabilities.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"{path} does not exist; evaluate the run to write it.")
        read = read_csv(path, COLUMNS)
        ids = [name.removeprefix(PROBABILITY) for name in read.header if name.startswith(PROBABILITY)]
        if not ids:
            raise DataError(f"{path} lacks the columns {[PROBABILITY + '<class id>']}.")
        columns = {name: read.column(name) for name in read.header}
        index = {class_id: i for i, class_id in enumerate(ids)} | {"": UNLABELLED}
        for line, pair in enumerate(zip(columns["label"], columns["prediction"], strict=True), start=2):
            for class_id in pair:
                if class_id not in index:
                    raise DataError(
                        f"{path}, line {line}: {shown(class_id)} is not one of the classes {shown(ids)}."
                    )
        known = {
            name.removeprefix(ATTRIBUTE): np.array(columns[name])
            for name in columns
            if name.startswith(ATTRIBUTE)
        }
        numbers = {
            name: _floats(cells, path, name)
            for name, cells in columns.items()
            if name not in (*COLUMNS[:6], POSSIBLE) and not name.startswith(ATTRIBUTE)
        }
        probabilities = [numbers.pop(PROBABILITY + class_id) for class_id in ids]
        loss, confidence, _ = (numbers.pop(name) for name in COLUMNS[6:])
        label, stated = (
            np.array([index[value] for value in columns[name]], dtype=np.int64)
            for name in ("label", "prediction")
        )
        where, split, group = (np.array(columns[name], dtype=np.str_) for name in COLUMNS[:3])
        try:
            table = cls(
                tuple(ids), where, split, group, label, np.stack(probabilities, axis=1), loss, numbers, known
            )
        except DataError as error:
            raise DataError(f"{path} was changed: {error}") from None
        of_stated = table.probabilities[np.arange(len(table)), stated]
        wrong = {
            "prediction": (stated < 0) | (of_stated < table.confidence - TOLERANCE),
            "confidence": np.abs(confidence - table.confidence) > TOLERANCE,
            "correct": np.array(table._stated_correct(stated)) != np.array(columns["correct"]),
            "loss": np.isnan(table.loss) == table.labelled,
        }
        for name, rows in wrong.items():
            if rows.any():
                line = int(np.argmax(rows))
                raise DataError(
                    f"{path}, line {line + 2}: {name} '{columns[name][line]}' contradicts the other columns; "
                    "the file was changed after it was written, evaluate the run again."
                )
        return table


def _numbers(values: np.ndarray) -> list[str]:
    return ["" if value != value else f"{value:.9g}" for value in values.tolist()]


def _floats(column: Sequence[str], path: Path, name: str) -> np.ndarray:
    values = []
    for line, text in enumerate(column, start=2):
        try:
            values.append(float(text) if text else np.nan)
        except ValueError:
            raise DataError(f"{path}, line {line}: {name} '{text}' is not a number.") from None
    return np.array(values, dtype=np.float32)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """(N, C) float64, as ``scipy.special.log_softmax``, whose import alone takes as long as predicting a picture."""
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    found: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found
