"""LookTable: explanation methods x scores on a set of pictures, beside controls, with intervals."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.files import write_csv, write_json
from foveate.core.intervals import of_mean
from foveate.explanation.maps import MapScore

CHANCE = "chance"
"""The row of chance levels."""


@dataclass(frozen=True)
class Cell:
    """One score of one method."""

    mean: float
    """Over the pictures where it can be measured."""
    low: float | None
    """95 % interval over these pictures (``core.intervals.of_mean``); None for fewer than two."""
    high: float | None
    n: int
    """Pictures where it can be measured."""
    threshold: float | None = None
    """Of a swept score: the threshold that is best for all pictures together."""

    def as_dict(self) -> dict[str, float | None]:
        """Plain values for JSON; a threshold only where there is one."""
        return {
            name: value for name, value in asdict(self).items() if name != "threshold" or value is not None
        }


@dataclass(frozen=True)
class LookTable:
    """What was measured, a value for each picture."""

    paths: tuple[str, ...]
    """(N,)"""
    target: str
    """Whose class the maps explain: "predicted" or "true"."""
    scores: tuple[MapScore, ...]
    values: Mapping[str, Mapping[str, np.ndarray]]
    """{row: {score: (N,) float64, NaN = not measurable}}: methods, controls, and chance levels, in this order."""
    methods: tuple[str, ...]
    seconds: Mapping[str, float]
    """{method: of computing the map of one picture}"""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """{method: why it means nothing for this network}"""
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """{row: {swept score: its best threshold}}"""
    cascade: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """{what is random: {method: mean Spearman correlation with the maps of the network itself}}"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Plain values of the configuration."""

    @property
    def controls(self) -> tuple[str, ...]:
        """Rows that are no method: maps that know nothing of the network, and chance."""
        return tuple(row for row in self.values if row not in self.methods)

    @property
    def asked(self) -> tuple[str, ...]:
        """The methods that were asked for, also those that were not measured."""
        return tuple(self.settings.get("methods", self.methods))

    def reasons(self) -> dict[str, str]:
        """{method: why none of its maps could be scored}."""
        cells, count = self.cells(), len(self.paths)
        why = f"its map of {'the picture' if count == 1 else f'each of the {count} pictures'} is constant"
        if CHANCE in self.values and not any(cells[row] for row in self.controls):
            why = "no mask of these pictures has anything in it"
        return {
            method: self.skipped.get(method, why).rstrip(".") for method in self.asked if not cells[method]
        }

    def cells(self) -> dict[str, dict[str, Cell]]:
        """{row: {score: its mean with an interval}}: a row for every method that was asked for (see ``reasons``), then
        controls; scores that were measured on no picture are left out."""
        spans = {score.name: score.span for score in self.scores}
        table: dict[str, dict[str, Cell]] = {row: {} for row in (*self.asked, *self.values)}
        for row, columns in self.values.items():
            for name, column in columns.items():
                known = column[np.isfinite(column)]
                if len(known):
                    low, high = of_mean(known, span=spans[name]) or (None, None)
                    threshold = self.thresholds.get(row, {}).get(name)
                    table[row][name] = Cell(float(known.mean()), low, high, len(known), threshold)
        return table

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        reasons = self.reasons()
        rows = {
            row: {
                "kind": "method" if row in self.asked else "chance" if row == CHANCE else "control",
                "seconds_per_picture": self.seconds.get(row),
                "scores": {name: cell.as_dict() for name, cell in cells.items()},
                **({"reason": reasons[row]} if row in reasons else {}),
            }
            for row, cells in self.cells().items()
        }
        return {
            "pictures": len(self.paths),
            "target": self.target,
            "scores": {score.name: {"title": score.title, "better": score.better} for score in self.scores},
            "rows": rows,
            "random_weights": {title: dict(row) for title, row in self.cascade.items()},
            "skipped": dict(self.skipped),
            "settings": dict(self.settings),
        }

    def save(self, folder: Path) -> None:
        """Write ``look.csv`` (a line for each row and score; for a method that could not be scored one with n = 0 and
        the reason), ``look_pictures.csv`` (a line for each picture and row) and ``look.json``."""
        folder = Path(folder)
        better = {score.name: score.better for score in self.scores}
        lines: list[dict[str, Any]] = [
            {
                **{key: _text(value) for key, value in cell.as_dict().items()},
                "row": row, "score": name, "mean": cell.mean, "n": cell.n, "better": better[name],
            }
            for row, cells in self.cells().items()
            for name, cell in cells.items()
        ]  # fmt: skip
        lines += [{"row": method, "n": 0, "reason": why} for method, why in self.reasons().items()]
        header = ["row", "score", "mean", "low", "high", "n", "better", "threshold", "reason"]
        write_csv(folder / "look.csv", header, lines)
        names = [score.name for score in self.scores]
        empty = np.full(len(self.paths), np.nan)
        pictures = [
            [path, row, *(_text(float(columns.get(name, empty)[i])) for name in names)]
            for row, columns in self.values.items()
            for i, path in enumerate(self.paths)
        ]
        write_csv(folder / "look_pictures.csv", ["path", "row", *names], pictures)
        write_json(folder / "look.json", self.as_dict())


def settle(values: np.ndarray) -> tuple[np.ndarray, float | None]:
    """A swept score (N, T) -> its column (N,) at the threshold that is best for all pictures together, and that
    threshold as a share."""
    known = np.isfinite(values).all(axis=1)
    if not known.any():
        return values[:, 0], None
    best = int(values[known].mean(axis=0).argmax())
    return values[:, best], best / values.shape[1]


def _text(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"
