"""What a study reads from a finished cell. A metric is one line of the table below."""

import math
from collections.abc import Sequence
from typing import Any

from foveate.core.errors import ConfigError
from foveate.evaluation.evaluators.attacks import Attacks
from foveate.evaluation.explainer_scores import GROUPS
from foveate.evaluation.unlike_training import ATTACKS, BACKGROUNDS, VARIANT_TESTS, attack_title
from foveate.experiment import Run
from foveate.explanation import EXPLAINERS
from foveate.studies.results import SWAPPED, Metric

History = list[dict[str, float]]
LABEL_LOSS = "val_classification"
"""Validation loss of the classification term alone; the whole loss also moves with the weights that are compared."""
PERCENT = True
# A new metric: one line here. A name without a dot is a column of history.csv in the epoch where the run converged, but
# for the two durations; every other name is a place in result.json's metrics, and "test.f1.NAME" the F1 of one class.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("test.accuracy", "Test accuracy", "higher", PERCENT),
        Metric("val.accuracy", "Validation accuracy", "higher", PERCENT),
        Metric(SWAPPED, f"Accuracy, {BACKGROUNDS['swapped'][0]}", "higher", PERCENT),
        Metric(
            "test.backgrounds.swapped.as_background", "Answers of the background's class", "lower", PERCENT
        ),
        *(
            Metric(
                f"test.backgrounds.{test}.accuracy",
                f"Accuracy, {BACKGROUNDS[test][0]}",
                "higher" if test in ("grey", "noise") else "neither",
                PERCENT,
            )
            for test in ("grey", "noise", "original", "removed")
        ),
        *(
            Metric(f"test.{kind}.{name}", f"{title}, {what}", "higher", PERCENT)
            for kind, (what, _) in VARIANT_TESTS.items()
            for name, title in (("accuracy", "Accuracy"), ("consistent", "Same answer"))
        ),
        *(
            Metric(f"test.attacks.{name}.accuracy", f"Accuracy, {attack_title(name)}", "higher", PERCENT)
            for name in (
                f"{kind}_{strength:g}" for kind in ATTACKS for strength in Attacks.Config().strengths
            )
        ),
        Metric("test.balanced_accuracy", "Test balanced accuracy", "higher", PERCENT),
        Metric("test.macro_f1", "Test macro F1", share=True),
        Metric("test.worst_attribute_accuracy", "Test accuracy, worst attribute", "higher", PERCENT),
        Metric(
            "test.worst_group_accuracy", "Test accuracy, worst class with an attribute", "higher", PERCENT
        ),
        Metric("test.neighbours.accuracy", "Test accuracy, k-NN of the features", "higher", PERCENT),
        Metric("test.nll", "Test label loss", "lower"),
        Metric("val.nll", "Validation label loss", "lower"),
        Metric("convergence_epoch", "Convergence (epochs)", "lower"),
        Metric("epochs", "Epochs trained", "neither"),
        Metric("train_accuracy", "Train accuracy", "neither", PERCENT),
        Metric("train_classification", "Train label loss", "neither"),
        Metric("val_spatial", "Validation spatial loss", "neither"),
        Metric("train_share_spatial", "Spatial share of the loss", "neither", PERCENT),
        Metric("test.look.energy_in_mask.mean", "Energy in mask (class map)", share=True),
        Metric("test.look.energy_in_mask.empty", "Class maps without energy", "neither", PERCENT),
        Metric("test.look.tap_energy_in_mask.mean", "Energy in mask (feature map)", "neither", share=True),
        Metric("test.look.box_found.mean", "Objects found, IoU 0.5 or more", "higher", PERCENT),
        Metric("test.look.box_found_centre.mean", "Objects found by boxes in the middle", "neither", PERCENT),
        Metric("test.look.box_iou.mean", "IoU of box and mask", share=True),
        Metric("test.look.map_extent.mean", "Picture with half of the class map", "neither", PERCENT),
    )
}
EACH_CLASS = ".f1.*"
"""Ending of a name that stands for the F1 of every class: "test.f1.*"."""
_SPLITS = ("train", "val", "test")


def choose_metrics(names: Sequence[str], class_ids: Sequence[str] = ()) -> tuple[Metric, ...]:
    """The metrics of these names; all of the table when none is named.

    Args:
        class_ids: what "test.f1.*" stands for: F1 of each of these classes, in this order.

    Raises:
        ConfigError: a name is neither in the table nor a place in result.json (``split.name``).
    """
    if not names:
        return tuple(METRICS.values())
    return tuple(metric for name in names for metric in _named(name, class_ids))


def _named(name: str, class_ids: Sequence[str]) -> list[Metric]:
    split, _, place = name.partition(".")
    if name in METRICS:
        return [METRICS[name]]
    if split not in _SPLITS or not place:
        raise ConfigError(
            f"There is no metric '{name}'; choose of {', '.join(METRICS)}, or a place in result.json such as "
            "test.top.3, or test.f1.* for the F1 of every class."
        )
    if place.startswith("f1."):
        wanted = class_ids if name == split + EACH_CLASS else [place.removeprefix("f1.")]
        return [Metric(f"{split}.f1.{one}", f"{split.capitalize()} F1, {one}", share=True) for one in wanted]
    # "split.look.<method>_<score>.mean", see evaluation.explainers.
    scored = [
        Metric(name, f"{score.title} ({method}, {split})", score.better)
        for method in EXPLAINERS
        for scores in GROUPS.values()
        for score in scores
        if place == f"look.{method}_{score.name}.mean"
    ]
    return scored[:1] or [Metric(name, name)]


def measure(run: Run, metrics: Sequence[Metric]) -> dict[str, float]:
    """{metric name: value} of a finished run; what was not measured is absent."""
    history = numbers(run)
    row: dict[str, float | None] = {**best_epoch(history)}
    row["convergence_epoch"] = row.get("phase_epoch")
    row["epochs"] = history[-1]["phase_epoch"] if history else None
    found = {
        m.name: _at(run.result["metrics"], m.name) if "." in m.name else row.get(m.name) for m in metrics
    }
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def _at(metrics: dict[str, Any], name: str) -> float | None:
    """The value at a dotted place; F1 of a class is None where it neither occurs nor is predicted."""
    split, _, place = name.partition(".")
    if place.startswith("f1."):
        classes = metrics.get(split, {}).get("per_class", ())
        value = next((entry["f1"] for entry in classes if f"f1.{entry['class_id']}" == place), None)
        return None if value is None else float(value)
    found = value_at(metrics, *name.split("."))
    return float(found) if type(found) in (int, float) else None


def value_at(tree: Any, *steps: str) -> Any:
    """What stands at a place in nested mappings that nobody has checked; None where nothing does."""
    for step in steps:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def best_epoch(history: History) -> dict[str, float]:
    """The row of the last phase with the lowest validation label loss: where it converged; {} where nothing tells.

    Without validation pictures, or without a term called "classification", the nearest column that is there decides.
    """
    last = [row for row in history if row["phase"] == history[-1]["phase"]]
    for column in (LABEL_LOSS, "val_loss", "train_classification", "train_loss"):
        if last and column in last[-1]:
            known = [row for row in last if math.isfinite(row.get(column, math.nan))]
            return min(known, key=lambda row: row[column], default={})
    return {}


def numbers(run: Run) -> History:
    """history.csv as numbers; the phase's name becomes its number, empty fields are left out."""
    rows, phases = [], list[str]()
    for row in run.history:
        if row["phase"] not in phases:
            phases.append(row["phase"])
        values = {name: float(value) for name, value in row.items() if name != "phase" and value is not None}
        rows.append({**values, "phase": float(phases.index(row["phase"]))})
    return rows
