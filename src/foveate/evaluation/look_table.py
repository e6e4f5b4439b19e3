"""LookTable: explanation methods x scores on a set of pictures, beside controls, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.files import write_csv, write_json
from foveate.core.rng import numpy_generator
from foveate.explanation.score import Score

CHANCE = "chance"
"""The row of chance levels."""
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Cell:
    """One score of one method."""

    mean: float
    """Over the pictures where it can be measured."""
    low: float | None
    """Percentile bootstrap over these pictures, 95 %; None for fewer than two."""
    high: float | None
    n: int
    """Pictures where it can be measured."""
    threshold: float | None = None
    """Of a swept score: the threshold that is best for all pictures together."""


@dataclass(frozen=True)
class LookTable:
    """What was measured, a value for each picture."""

    paths: tuple[str, ...]
    """(N,)"""
    target: str
    """Whose class the maps explain: "predicted" or "true"."""
    scores: tuple[Score, ...]
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

    def cells(self) -> dict[str, dict[str, Cell]]:
        """{row: {score: its mean with an interval}}; scores that were not measured are left out."""
        keys = [(row, name) for row, columns in self.values.items() for name in columns]
        found = bootstrap([self.values[row][name] for row, name in keys])
        table: dict[str, dict[str, Cell]] = {row: {} for row in self.values}
        for (row, name), (mean, low, high, n) in zip(keys, found, strict=True):
            if n:
                threshold = self.thresholds.get(row, {}).get(name)
                table[row][name] = Cell(mean, low, high, n, threshold)
        return table

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = {
            row: {
                "kind": "method" if row in self.methods else "chance" if row == CHANCE else "control",
                "seconds_per_picture": self.seconds.get(row),
                "scores": {
                    name: {
                        "mean": cell.mean, "low": cell.low, "high": cell.high, "n": cell.n,
                        **({} if cell.threshold is None else {"threshold": cell.threshold}),
                    }
                    for name, cell in cells.items()
                },
            }
            for row, cells in self.cells().items()
        }  # fmt: skip
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
        """Write ``look.csv`` (a line for each row and score), ``look_pictures.csv`` (a line for each picture and row)
        and ``look.json``."""
        folder = Path(folder)
        better = {score.name: score.better for score in self.scores}
        lines = [
            [
                row,
                name,
                cell.mean,
                _text(cell.low),
                _text(cell.high),
                cell.n,
                better[name],
                _text(cell.threshold),
            ]
            for row, cells in self.cells().items()
            for name, cell in cells.items()
        ]
        write_csv(
            folder / "look.csv", ["row", "score", "mean", "low", "high", "n", "better", "threshold"], lines
        )
        names = [score.name for score in self.scores]
        empty = np.full(len(self.paths), np.nan)
        pictures = [
            [path, row, *(_text(float(columns.get(name, empty)[i])) for name in names)]
            for row, columns in self.values.items()
            for i, path in enumerate(self.paths)
        ]
        write_csv(folder / "look_pictures.csv", ["path", "row", *names], pictures)
        write_json(folder / "look.json", self.as_dict())


def bootstrap(columns: Sequence[np.ndarray]) -> list[tuple[float, float | None, float | None, int]]:
    """(mean, low, high, n) of each column (N,), NaN left out; 95 % percentile interval.

    Every column is resampled with the same draws of pictures, so that two intervals move together.
    """
    if not columns:
        return []
    stacked = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)  # (N, K)
    known = np.isfinite(stacked)
    values = np.where(known, stacked, 0.0)
    n = len(stacked)
    counts = numpy_generator(0, "look bootstrap", n).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (counts @ values) / (counts @ known.astype(np.float64))  # (R, K)
        mean = values.sum(axis=0) / known.sum(axis=0)
    result: list[tuple[float, float | None, float | None, int]] = []
    for k in range(stacked.shape[1]):
        m = int(known[:, k].sum())
        drawn = means[:, k][np.isfinite(means[:, k])]
        low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)) if m > 1 else (None, None)
        result.append(
            (float(mean[k]), None if low is None else float(low), None if high is None else float(high), m)
        )
    return result


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
