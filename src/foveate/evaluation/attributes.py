"""Accuracy by attribute: for each value, for each class with each value, and the worst of both."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from foveate.core.intervals import of_answers
from foveate.evaluation.predictions import PredictionTable


def attribute_accuracies(rows: PredictionTable) -> dict[str, Any]:
    """Of labelled rows; empty where no picture has an attribute.

    - ``attributes``: {attribute: {"values": [...], "groups": [...], "worst": one of values, "worst_group": one of
      groups}}. A value is ``{"value", "n", "correct", "accuracy", "accuracy_low", "accuracy_high"}``; a group is the
      pictures of one class with one value (``"class_id"`` beside it). Pictures whose value is unknown count nowhere.
    - ``worst_attribute_accuracy``: the lowest accuracy of any value of any attribute.
    - ``worst_group_accuracy``: the same of groups, as Sagawa et al. measure (Distributionally robust neural networks
      for group shifts, ICLR 2020).

    The intervals are those of each accuracy by itself (95 %): the worst of many is low by chance too.
    """
    found: dict[str, dict[str, Any]] = {}

    def of(where: np.ndarray) -> dict[str, Any]:
        return accuracy_of(rows.correct[where], rows.group[where])

    for name, values in rows.attributes.items():
        known = sorted(set(values.tolist()) - {""})
        if not known:
            continue
        by_value = [{"value": value, **of(values == value)} for value in known]
        groups = [
            {"value": value, "class_id": class_id, **of(where)}
            for value in known
            for label, class_id in enumerate(rows.class_ids)
            if (where := (values == value) & (rows.label == label)).any()
        ]
        found[name] = {
            "values": by_value, "groups": groups, "worst": _worst(by_value), "worst_group": _worst(groups)
        }  # fmt: skip
    if not found:
        return {}
    return {
        "attributes": found,
        "worst_attribute_accuracy": min(entry["worst"]["accuracy"] for entry in found.values()),
        "worst_group_accuracy": min(entry["worst_group"]["accuracy"] for entry in found.values()),
    }


def accuracy_of(correct: np.ndarray, groups: Sequence[str] | np.ndarray = ()) -> dict[str, Any]:
    """Of answers (n,) bool, n > 0: accuracy with its 95 % interval (``core.intervals.of_answers``), correct, n."""
    interval = of_answers(correct, groups)
    assert interval is not None
    return {
        "n": len(correct), "correct": int(correct.sum()), "accuracy": float(correct.mean()),
        "accuracy_low": interval[0], "accuracy_high": interval[1],
    }  # fmt: skip


def _worst(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The lowest accuracy; of equal ones that of most pictures."""
    return min(entries, key=lambda entry: (entry["accuracy"], -entry["n"]))
