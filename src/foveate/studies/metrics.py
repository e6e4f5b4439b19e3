"""What a study reads from a finished cell. A metric is one line of the table below."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from foveate.core.errors import ConfigError
from foveate.evaluation.explainers import GROUPS
from foveate.experiment import Run
from foveate.explanation import EXPLAINERS
from foveate.studies.results import Metric

History = list[dict[str, float]]
Read = Callable[[dict[str, Any], History, dict[str, float | None]], float | None]
"""(result.json, rows of history.csv, the last phase's best epoch) -> value, or None where it was not measured."""

LABEL_LOSS = "val_classification"
"""Validation loss of the classification term alone; the whole loss also moves with the weights that are compared."""


@dataclass(frozen=True)
class _Row:
    metric: Metric
    read: Read


def _at(path: str) -> Read:
    """A value inside result.json's metrics, by a dotted path."""

    def read(result: dict[str, Any], history: History, best: dict[str, float | None]) -> float | None:
        value: Any = result["metrics"]
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        return float(value) if type(value) in (int, float) else None

    return read


def _convergence(result: dict[str, Any], history: History, best: dict[str, float | None]) -> float | None:
    return best["phase_epoch"]


def _epochs(result: dict[str, Any], history: History, best: dict[str, float | None]) -> float | None:
    return float(history[-1]["phase_epoch"]) if history else None


def _best(column: str) -> Read:
    return lambda result, history, best: best.get(column)


# A new metric: one line here. Names with a dot that are not here are looked up in result.json's metrics, and
# "test.f1.NAME" is the F1 of one class.
METRICS: dict[str, _Row] = {
    row.metric.name: row
    for row in (
        _Row(Metric("test.accuracy", "Test accuracy", percent=True), _at("test.accuracy")),
        _Row(Metric("val.accuracy", "Validation accuracy", percent=True), _at("val.accuracy")),
        _Row(
            Metric("test.backgrounds.swapped.accuracy", "Accuracy, swapped backgrounds", percent=True),
            _at("test.backgrounds.swapped.accuracy"),
        ),
        _Row(
            Metric(
                "test.backgrounds.swapped.as_background",
                "Answers of the background's class",
                "lower",
                percent=True,
            ),
            _at("test.backgrounds.swapped.as_background"),
        ),
        _Row(
            Metric("test.backgrounds.grey.accuracy", "Accuracy, grey background", percent=True),
            _at("test.backgrounds.grey.accuracy"),
        ),
        _Row(
            Metric("test.backgrounds.noise.accuracy", "Accuracy, noise background", percent=True),
            _at("test.backgrounds.noise.accuracy"),
        ),
        _Row(
            Metric("test.backgrounds.removed.accuracy", "Accuracy, object removed", "neither", percent=True),
            _at("test.backgrounds.removed.accuracy"),
        ),
        _Row(
            Metric("test.balanced_accuracy", "Test balanced accuracy", percent=True),
            _at("test.balanced_accuracy"),
        ),
        _Row(Metric("test.macro_f1", "Test macro F1"), _at("test.macro_f1")),
        _Row(
            Metric("test.neighbours.accuracy", "Test accuracy, k-NN of the features", percent=True),
            _at("test.neighbours.accuracy"),
        ),
        _Row(Metric("test.nll", "Test label loss", "lower"), _at("test.nll")),
        _Row(Metric("val.nll", "Validation label loss", "lower"), _at("val.nll")),
        _Row(Metric("convergence_epoch", "Convergence (epochs)", "lower"), _convergence),
        _Row(Metric("epochs", "Epochs trained", "neither"), _epochs),
        _Row(Metric("train_accuracy", "Train accuracy", "neither", percent=True), _best("train_accuracy")),
        _Row(Metric("train_classification", "Train label loss", "neither"), _best("train_classification")),
        _Row(Metric("val_spatial", "Validation spatial loss", "neither"), _best("val_spatial")),
        _Row(
            Metric("train_share_spatial", "Spatial share of the loss", "neither", percent=True),
            _best("train_share_spatial"),
        ),
        _Row(
            Metric("test.look.energy_in_mask.mean", "Energy in mask (class map)"),
            _at("test.look.energy_in_mask.mean"),
        ),
        _Row(
            Metric("test.look.tap_energy_in_mask.mean", "Energy in mask (feature map)", "neither"),
            _at("test.look.tap_energy_in_mask.mean"),
        ),
    )
}


EACH_CLASS = ".f1.*"
"""Ending of a name that stands for the F1 of every class: "test.f1.*"."""
_SPLITS = ("train", "val", "test")


def _class_f1(split: str, class_id: str) -> Read:
    """F1 of one class; None where it neither occurs nor is predicted."""

    def read(result: dict[str, Any], history: History, best: dict[str, float | None]) -> float | None:
        classes = result["metrics"].get(split, {}).get("per_class", ())
        value = next((entry["f1"] for entry in classes if entry["class_id"] == class_id), None)
        return None if value is None else float(value)

    return read


def _reader(name: str) -> Read:
    if name in METRICS:
        return METRICS[name].read
    split, _, place = name.partition(".")
    return _class_f1(split, place.removeprefix("f1.")) if place.startswith("f1.") else _at(name)


def choose_metrics(names: Sequence[str], class_ids: Sequence[str] = ()) -> tuple[Metric, ...]:
    """The metrics of these names; all of the table when none is named.

    Args:
        class_ids: what "test.f1.*" stands for: F1 of each of these classes, in this order.

    Raises:
        ConfigError: a name is neither in the table nor a place in result.json (``split.name``).
    """
    if not names:
        return tuple(row.metric for row in METRICS.values())
    chosen = []
    for name in names:
        split, _, place = name.partition(".")
        if name in METRICS:
            chosen.append(METRICS[name].metric)
        elif (scored := _explainer_score(name)) is not None:
            chosen.append(scored)
        elif split in _SPLITS and name == split + EACH_CLASS:
            chosen += [_f1_metric(split, class_id) for class_id in class_ids]
        elif split in _SPLITS and place.startswith("f1."):
            chosen.append(_f1_metric(split, place.removeprefix("f1.")))
        elif split in _SPLITS and place:
            chosen.append(Metric(name, name))
        else:
            raise ConfigError(
                f"There is no metric '{name}'; choose of {', '.join(METRICS)}, or a place in result.json such as "
                "test.top.3, or test.f1.* for the F1 of every class."
            )
    return tuple(chosen)


def _explainer_score(name: str) -> Metric | None:
    """The metric that ``split.look.<method>_<score>.mean`` means (see ``evaluation.look_methods``); else None."""
    _, _, rest = name.partition(".look.")
    column = rest.removesuffix(".mean")
    for method in sorted(EXPLAINERS, key=len, reverse=True):
        for scores in GROUPS.values():
            for score in scores:
                if rest.endswith(".mean") and column == f"{method}_{score.name}":
                    split = name.partition(".")[0]
                    return Metric(name, f"{score.title} ({method}, {split})", score.better)
    return None


def _f1_metric(split: str, class_id: str) -> Metric:
    return Metric(f"{split}.f1.{class_id}", f"{split.capitalize()} F1, {class_id}")


def measure(run: Run, metrics: Sequence[Metric]) -> dict[str, float]:
    """{metric name: value} of a finished run; what was not measured is absent."""
    history = numbers(run)
    best = best_epoch(history)
    found = {}
    for metric in metrics:
        value = _reader(metric.name)(run.result, history, best)
        if value is not None and math.isfinite(value):
            found[metric.name] = value
    return found


def best_epoch(history: History) -> dict[str, float | None]:
    """The row of the last phase with the lowest validation label loss: where it converged.

    Without validation pictures, or without a term called "classification", the nearest column that is there decides.
    """
    if not history:
        return {"phase_epoch": None}
    last = history[-len([row for row in history if row["phase"] == history[-1]["phase"]]) :]
    column = next(
        (name for name in (LABEL_LOSS, "val_loss", "train_classification", "train_loss") if name in last[-1]),
        None,
    )
    known = [
        (row[column], k) for k, row in enumerate(last) if column and math.isfinite(row.get(column, math.nan))
    ]
    return dict(last[min(known)[1]]) if known else {"phase_epoch": None}


def numbers(run: Run) -> History:
    """history.csv as numbers; the phase's name becomes its number, empty fields are left out."""
    rows, phases = [], list[str]()
    for row in run.history:
        if row["phase"] not in phases:
            phases.append(row["phase"])
        values = {name: float(value) for name, value in row.items() if name != "phase" and value is not None}
        rows.append({**values, "phase": float(phases.index(row["phase"]))})
    return rows
