"""Mean learning curves over seeds, with their standard deviation, epoch by epoch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from foveate.core.files import write_csv
from foveate.studies.results import StudyResults

Trim = Literal["shortest", "end"]
"""shortest: as the report did, up to the epoch that every run of every arm has reached. end: up to the arm's longest
run, where a run that has ended carries its last value (its network stays as it is; if it dropped out instead, the
mean would jump to that of the slower runs)."""


@dataclass(frozen=True)
class Curve:
    """One column of history.csv in one arm."""

    arm: str
    column: str
    epoch: np.ndarray
    """(E,) int, as in history.csv."""
    n: np.ndarray
    """(E,) int, seeds in the mean."""
    training: np.ndarray
    """(E,) int, those of them that were still training; the others carry their last value."""
    mean: np.ndarray
    """(E,)"""
    std: np.ndarray
    """(E,) sample standard deviation (ddof 1); NaN with one seed."""


def mean_curves(results: StudyResults, column: str, trim: Trim = "shortest") -> dict[str, Curve]:
    """{arm: curve}, in the order of the study; an arm without any value of ``column`` is absent."""
    runs = {arm: _runs(results, arm, column) for arm in results.arms}
    last = [run.last_valid_index() for table in runs.values() for _, run in table.items()]
    if not last:
        return {}
    stop = min(last) if trim == "shortest" else max(last)
    curves = (_curve(arm, column, table.loc[:stop]) for arm, table in runs.items() if len(table.columns))
    return {curve.arm: curve for curve in curves if len(curve.epoch)}


def columns(results: StudyResults) -> tuple[str, ...]:
    """Columns that vary over the epochs of some run, in the order in which the histories name them."""
    known = ("epoch", "phase", "phase_epoch")
    rows = (row for arm in results.arms for run in results.histories.get(arm, {}).values() for row in run)
    return tuple(name for name in dict.fromkeys(name for row in rows for name in row) if name not in known)


def phase_starts(results: StudyResults) -> tuple[int, ...]:
    """Epochs at which a further training phase begins, as far as it is the same epoch in every run."""
    runs = [run for arm in results.arms for run in results.histories.get(arm, {}).values() if run]
    found = [
        {int(row["epoch"]) for before, row in pairwise(run) if row.get("phase") != before.get("phase")}
        for run in runs
    ]
    return tuple(sorted(set.intersection(*found))) if found else ()


def write_curves(path: Path, studies: Mapping[str, StudyResults]) -> None:
    """curves.csv of {block: results}: one row for each block, column, arm and epoch, to the end of each block.

    Up to the epoch where ``training`` first is smaller than ``n`` in some arm these are the numbers of "shortest".
    """
    rows = [
        (block, name, arm, *map(int, counts), float(mean), "" if math.isnan(std) else float(std))
        for block, results in studies.items()
        for name in columns(results)
        for arm, c in mean_curves(results, name, "end").items()
        for *counts, mean, std in zip(c.epoch, c.n, c.training, c.mean, c.std, strict=True)
    ]
    write_csv(path, ("block", "column", "arm", "epoch", "n", "training", "mean", "std"), rows)


def _runs(results: StudyResults, arm: str, column: str) -> pd.DataFrame:
    """A row for each epoch, a column for each run that has a finite value, in the order of the seeds."""
    histories = results.histories.get(arm, {})
    runs = {
        seed: pd.Series(
            {int(row["epoch"]): row[column] for row in histories[seed] if column in row}, dtype=float
        )
        for seed in results.seeds
        if seed in histories
    }
    return pd.DataFrame(runs).replace([math.inf, -math.inf], math.nan).dropna(how="all", axis=1).sort_index()


def _curve(arm: str, column: str, runs: pd.DataFrame) -> Curve:
    runs = runs.dropna(how="all")
    ended = runs.bfill().isna()
    carried = runs.where(~ended, runs.ffill())  # a run that has ended carries its last value
    n = carried.count(axis=1).to_numpy()
    # numpy's mean: pandas adds up in another order.
    rows = [row[np.isfinite(row)] for row in carried.to_numpy()]
    return Curve(
        arm,
        column,
        carried.index.to_numpy(dtype=np.int64),
        n,
        n - (ended & carried.notna()).sum(axis=1).to_numpy(),
        np.array([row.mean() for row in rows]),
        np.array([row.std(ddof=1) if len(row) > 1 else math.nan for row in rows]),
    )
