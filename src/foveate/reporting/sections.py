"""What each section of the report shows, from the prediction table and the history."""

from typing import Any

import numpy as np

from foveate.evaluation.calibration import (
    expected_calibration_error,
    fit_temperature,
    log_probabilities,
    negative_log_likelihood,
    scale,
)
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.summary import convergence_epoch
from foveate.experiment.run_folder import RunFolder
from foveate.reporting import figures, pictures
from foveate.reporting.classes import class_pictures
from foveate.reporting.text import percent

MISTAKES = 12
VALUES = 12
"""Values of an attribute that a table shows."""


def curves(run: RunFolder) -> dict[str, Any] | None:
    history = run.history if run.has("history.csv") else None
    if not history:
        return None
    best = convergence_epoch(history, "val_accuracy")
    accuracy = [
        ("train_accuracy", "training", "solid"),
        ("val_accuracy", "validation", "solid"),
        ("val_macro_f1", "validation macro F1", "dashed"),
    ]
    panels = [
        (
            "Accuracy",
            figures.curve(history, accuracy, name="accuracy", title="Accuracy", best=best, percent=True),
        ),
        ("Loss", figures.curve(history, figures.loss_lines(history), name="loss", title="Loss", best=best)),
        *(
            (title, figures.curve(history, lines, name=name, title=title, percent=name == "branches"))
            for title, name, lines in figures.branch_panels(history)
        ),
        ("Share of the loss", figures.shares(history, name="shares", title="Share of the weighted loss")),
        (
            "Weight of each term",
            figures.curve(history, figures.weight_lines(history), name="weights", title="Weight", log=True),
        ),
        (
            "Learning rate",
            figures.curve(history, figures.rate_lines(history), name="rate", title="Learning rate", log=True),
        ),
    ]
    best_row = next((row for row in history if row["epoch"] == best), None)
    return {
        "panels": [(title, drawing) for title, drawing in panels if drawing is not None],
        "best": best,
        "best_value": best_row["val_accuracy"] if best_row else None,
        "phases": figures.phases(history),
    }


def distribution(run: RunFolder) -> dict[str, Any] | None:
    """Pictures of each class by split, and samples; None without a catalog."""
    known = [row for row in run.listed if row["label"]]
    if not known:
        return None
    names = list(dict.fromkeys([*run.class_names, *(row["label"] for row in known)]))
    index = {name: label for label, name in enumerate(names)}
    rows = [(row["path"], index[row["label"]], row["split"]) for row in known]
    return class_pictures(run.data_root, names, rows)


def calibration(table: PredictionTable, summary: dict[str, Any] | None) -> dict[str, Any] | None:
    if summary is None:
        return None
    rows = table.of_split(summary["split"])
    gap = summary["mean_confidence"] - summary["accuracy"]
    label = (
        f"Reliability diagram: calibration error {percent(summary['ece'])}, "
        f"mean confidence {percent(summary['mean_confidence'])}, accuracy {percent(summary['accuracy'])}"
    )
    result: dict[str, Any] = {
        "figure": figures.reliability_diagram(summary["reliability"], name="reliability", label=label),
        "gap": gap,
        "temperature": None,
    }
    if "val" in table.splits and summary["split"] != "val":
        validation = table.of_split("val")
        temperature = fit_temperature(log_probabilities(validation.probabilities), validation.label)
        confidence = scale(rows.probabilities, temperature).max(axis=1)
        result |= {
            "temperature": temperature,
            "scaled_ece": expected_calibration_error(confidence, rows.correct),
            "scaled_nll": negative_log_likelihood(
                log_probabilities(rows.probabilities), rows.label, temperature
            ),
            "n_validation": len(validation),
        }
    return result


def mistakes(run: RunFolder, split: str | None) -> dict[str, Any]:
    if split is None:
        return {"n": 0, "shown": []}
    rows = run.predictions.of_split(split)
    wrong = np.flatnonzero(~rows.correct)
    worst = wrong[np.argsort(-rows.loss[wrong], kind="stable")][:MISTAKES]
    shown = []
    for i in worst:
        path = str(rows.path[i])
        if run.data_root is None:
            uri, why = None, "place of the pictures not recorded"
        else:
            uri, why = pictures.thumbnail(run.data_root / path)
        shown.append(
            {
                "path": path,
                "uri": uri,
                "why": why,
                "label": run.class_names[rows.label[i]],
                "prediction": run.class_names[rows.prediction[i]],
                "confidence": float(rows.confidence[i]),
                "of_label": float(rows.probabilities[i, rows.label[i]]),
                "loss": float(rows.loss[i]),
            }
        )
    return {"n": len(wrong), "shown": shown}


def groups(summary: dict[str, Any] | None) -> dict[str, Any] | None:
    """Group accuracies, worst first; None when every picture is its own group."""
    groups = summary["groups"] if summary else None
    if summary is None or groups is None or groups["n"] >= summary["n"]:
        return None
    worst = sorted(groups["per_group"], key=lambda g: (g["accuracy"], -g["n"]))
    return {"n": groups["n"], "mean": groups["mean_accuracy"], "worst": worst[:8]}


def attributes(summary: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """{attribute: accuracy of its weakest values, the worst, and how many values are left out}."""
    found = summary.get("attributes", {}) if summary else {}
    return {
        name: {
            **entry,
            "weakest": sorted(entry["values"], key=lambda value: value["accuracy"])[:VALUES],
            "left": max(0, len(entry["values"]) - VALUES),
        }
        for name, entry in found.items()
    }
