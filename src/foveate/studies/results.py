"""What a study has measured so far, as plain values: the one thing that statistics, tables, curves and reports read."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from foveate.studies.looks import Stage

SWAPPED = "test.backgrounds.swapped.accuracy"
"""Accuracy where the object stands before another test picture's background."""


@dataclass(frozen=True)
class Metric:
    """One row of a study's table."""

    name: str
    """Where it stands in a cell, for example ``test.accuracy`` or ``convergence_epoch``."""
    title: str
    """For people, for example "Test accuracy"."""
    better: Literal["higher", "lower", "neither"] = "higher"
    """Which direction is good; "neither" is described, not judged."""
    percent: bool = False
    """Shown times 100, with the sign %."""
    share: bool = False
    """From 0 to 1, as all that are per cent."""


@dataclass(frozen=True)
class Pictures:
    """One cell's predictions of the test pictures."""

    path: tuple[str, ...]
    """(N,) sorted."""
    correct: np.ndarray
    """(N,) bool."""
    energy: np.ndarray | None = None
    """(N,) share of the class map that lies in the mask, NaN without one; None where it was not measured."""


@dataclass(frozen=True)
class StudyResults:
    """Finished cells of a study. A cell is one arm with one random seed; arms with the same seed are a pair.

    In a study of folds a pair is one fold, in the pooled results of several sets it is one set: ``seeds`` are then the
    numbers of these pairs.
    """

    name: str
    arms: tuple[str, ...]
    """In the order of the study; the baseline is among them."""
    baseline: str
    seeds: tuple[int, ...]
    metrics: tuple[Metric, ...]
    values: dict[str, dict[str, dict[int, float]]]
    """{metric name: {arm: {seed: value}}}; a cell that is not finished, or cannot measure it, is absent (never NaN)."""
    pictures: dict[str, dict[int, Pictures]] = field(default_factory=dict)
    """{arm: {seed: predictions of its test pictures}}."""
    histories: dict[str, dict[int, list[dict[str, float]]]] = field(default_factory=dict)
    """{arm: {seed: rows of history.csv, numbers only}}."""
    failures: dict[tuple[str, int], str] = field(default_factory=dict)
    """{(arm, seed): the error in a sentence}."""
    axes: dict[str, dict[str, str | float]] = field(default_factory=dict)
    """{arm: {axis: its value}}, for studies whose arms are the product of axes; a number where the axis is one."""
    unit: Literal["seed", "fold", "set"] = "seed"
    """What a pair is."""
    names: dict[int, str] = field(default_factory=dict)
    """{pair: what people call it}; "seed 3" where nothing stands here."""
    sets: dict[str, "StudyResults"] = field(default_factory=dict)
    """Where a pair is a set: {its name: its results}."""
    overlap: float = 0.0
    """Test pictures over training pictures where training sets overlap so that intervals must count it (folds)."""
    notes: tuple[str, ...] = ()
    """What a reader must know about how cells were paired."""
    margins: dict[str, float] = field(default_factory=dict)
    """{metric name: the largest loss that is as good as none, in the metric's own unit}, as the study's file says."""
    primary: str = ""
    """Name of the metric that the study is about; "" where nothing says it."""
    primary_arm: str = ""
    """The arm whose comparison in that metric is tested alone; "": all arms are, after Holm."""
    stage: Stage | None = None
    """Where the study stands among its planned looks; None where nothing is planned."""

    def name_of(self, pair: int) -> str:
        """ "seed 3", "seed 0, fold 2", or the set's name."""
        return self.names.get(pair, f"{self.unit} {pair}")

    def paired(
        self, metric: str, arm: str, baseline: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        """(S,) values of the baseline (or another arm in its place), (S,) of the arm, and the S seeds of both."""
        values = self.values.get(metric, {})
        ours, theirs = values.get(arm, {}), values.get(baseline or self.baseline, {})
        seeds = tuple(seed for seed in self.seeds if seed in ours and seed in theirs)
        return (
            np.array([theirs[seed] for seed in seeds], dtype=np.float64),
            np.array([ours[seed] for seed in seeds], dtype=np.float64),
            seeds,
        )
