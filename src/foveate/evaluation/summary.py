"""From a prediction table to the numbers of a paper: ``summarise(table, split)``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any, Literal

import numpy as np

from foveate.core.errors import DataError
from foveate.core.intervals import of_answers
from foveate.evaluation.attributes import accuracy_of, attribute_accuracies
from foveate.evaluation.calibration import expected_calibration_error, reliability
from foveate.evaluation.evaluators.look import CHANCE, ENERGY
from foveate.evaluation.predictions import PredictionTable

TOP_K = (3, 5)


def summarise(table: PredictionTable, split: str) -> dict[str, Any]:
    """Every number of ``split``, ready for JSON (what is undefined is None).

    - ``accuracy`` with ``accuracy_low``/``accuracy_high``, the 95 % Wilson interval; where pictures come in groups it
      is wider, because pictures of one group are right and wrong together (``core.intervals.of_mean``). The same for
      each class's recall.
    - ``balanced_accuracy``: mean recall of the classes that occur. ``macro_f1``: mean F1 of the classes that
      occur or are predicted (scikit-learn's rule for both).
    - ``top``: {"3": ...} for each k in 3, 5 below the number of classes.
    - ``nll``: mean negative log-likelihood in nats. ``brier``: mean over pictures of the squared distance
      between the probabilities and the one-hot truth, 0 to 2. ``ece`` and ``reliability``: 15 equal-width
      bins.
    - ``confusion``: [true][predicted] counts in the order of ``class_ids``.
    - ``chance_majority``: accuracy of always answering this split's most frequent class; ``chance_uniform``:
      1 / C.
    - ``groups`` (None without groups): accuracy of each group and their mean.
    - ``attributes`` and the worst of them: see ``evaluation.attributes``; absent without attributes.
    - ``look`` (None without look columns): mean, standard deviation and number of measurable pictures of
      each.

    Raises:
        DataError: the split has no labelled picture.
    """
    from sklearn.metrics import confusion_matrix, top_k_accuracy_score

    rows = table.of_split(split)
    labels = np.arange(len(rows.class_ids))
    confusion = confusion_matrix(rows.label, rows.prediction, labels=labels)
    per_class = _per_class(rows, confusion)
    truth = np.eye(len(rows.class_ids))[rows.label]
    return {
        "split": split,
        **accuracy_of(rows.correct, rows.group),
        "balanced_accuracy": _mean(c["recall"] for c in per_class),
        "macro_f1": _mean(c["f1"] for c in per_class),
        "top": {
            str(k): float(top_k_accuracy_score(rows.label, rows.probabilities, k=k, labels=labels))
            for k in TOP_K
            if k < len(labels)
        },
        "nll": float(rows.loss.astype(np.float64).mean()),
        "brier": float(((rows.probabilities - truth) ** 2).sum(axis=1).mean()),
        "ece": expected_calibration_error(rows.confidence, rows.correct),
        "mean_confidence": float(rows.confidence.astype(np.float64).mean()),
        "chance_majority": float(confusion.sum(axis=1).max() / len(rows)),
        "chance_uniform": 1 / len(rows.class_ids),
        "class_ids": list(rows.class_ids),
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "confused_pairs": confused_pairs(confusion, rows.class_ids),
        "reliability": [asdict(part) for part in reliability(rows.confidence, rows.correct)],
        "groups": _groups(rows),
        **attribute_accuracies(rows),
        "look": _look(rows),
    }


def summarise_all(table: PredictionTable) -> dict[str, dict[str, Any]]:
    """``summarise`` for each split that has labelled pictures."""
    return {split: summarise(table, split) for split in table.splits}


def confused_pairs(confusion: np.ndarray, class_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Unordered pairs of classes that are mistaken for each other, most mistakes first (ties in class order).

    ``a_as_b`` pictures of a were taken for b; ``share`` is the share of both classes' pictures that this
    concerns.
    """
    pairs: list[dict[str, Any]] = [
        {
            "a": class_ids[i], "b": class_ids[j], "a_as_b": int(confusion[i][j]), "b_as_a": int(confusion[j][i]),
            "n": int(confusion[i][j] + confusion[j][i]),
            "share": float(confusion[i][j] + confusion[j][i]) / int(np.sum(confusion[i]) + np.sum(confusion[j])),
        }
        for i, j in combinations(range(len(class_ids)), 2)
        if confusion[i][j] + confusion[j][i]
    ]  # fmt: skip
    return sorted(pairs, key=lambda pair: -pair["n"])


def convergence_epoch(
    history: Sequence[Mapping[str, Any]], metric: str = "val_accuracy", mode: Literal["max", "min"] = "max"
) -> int | None:
    """The ``epoch`` of the FIRST row with the best value of ``metric`` (largest for "max", smallest for
    "min").

    This is the rule of every table here. It says when training stopped finding anything better, not when a
    given accuracy was reached. Rows without a finite value do not count; None when there is no such row.
    """
    if mode not in ("max", "min"):
        raise DataError(f"mode must be 'max' or 'min', got '{mode}'.")
    values = [(int(row["epoch"]), _finite(row.get(metric))) for row in history]
    known = {epoch: value for epoch, value in values if value is not None}
    return (max if mode == "max" else min)(known, key=known.__getitem__) if known else None


def _finite(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value) if np.isfinite(float(value)) else None


def _per_class(rows: PredictionTable, confusion: np.ndarray) -> list[dict[str, Any]]:
    from sklearn.metrics import precision_recall_fscore_support

    labels = np.arange(len(rows.class_ids))
    precision, recall, f1, support = precision_recall_fscore_support(
        rows.label, rows.prediction, labels=labels, zero_division=np.nan
    )
    result = []
    for i, class_id in enumerate(rows.class_ids):
        own = rows.label == i
        interval = of_answers(rows.correct[own], rows.group[own]) or (None, None)
        result.append(
            {
                "class_id": class_id,
                "support": int(support[i]),
                "correct": int(confusion[i, i]),
                "predicted": int(confusion[:, i].sum()),
                "precision": _finite(precision[i]),
                "recall": _finite(recall[i]),
                "recall_low": interval[0],
                "recall_high": interval[1],
                "f1": _finite(f1[i]),
            }
        )
    return result


def _groups(rows: PredictionTable) -> dict[str, Any] | None:
    names, where = np.unique(rows.group, return_inverse=True)
    if not any(names):
        return None
    count = np.bincount(where)
    hits = np.bincount(where, weights=rows.correct)
    table = [
        {"group": str(name), "n": int(n), "correct": int(h), "accuracy": float(h / n)}
        for name, n, h in zip(names, count, hits, strict=True)
        if name
    ]
    return {"n": len(table), "mean_accuracy": _mean(g["accuracy"] for g in table), "per_group": table}


def _look(rows: PredictionTable) -> dict[str, Any] | None:
    if not rows.look:
        return None
    result = {}
    for name, values in rows.look.items():
        known = values[np.isfinite(values)].astype(np.float64)
        result[name] = {
            "mean": float(known.mean()) if len(known) else None,
            "std": float(known.std(ddof=1)) if len(known) > 1 else None,
            "n": len(known),
        }
    if ENERGY in result and CHANCE in rows.look:
        masked = np.isfinite(rows.look[CHANCE])
        empty = masked & ~np.isfinite(rows.look[ENERGY])
        result[ENERGY]["empty"] = float(empty.sum() / masked.sum()) if masked.any() else None
    return result


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
