"""What sections of a run's report show, from the prediction table and the history."""

from typing import Any

from foveate.evaluation.answering import answer_rule, answering
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.run_folder import RunFolder
from foveate.reporting import figures
from foveate.reporting.classes import class_pictures
from foveate.reporting.fit import kept_epoch
from foveate.reporting.text import percent


def curves(run: RunFolder) -> dict[str, Any] | None:
    history = run.history if run.has("history.csv") else None
    if not history:
        return None
    kept = kept_epoch(run, history)
    accuracy = [
        ("train_accuracy", "training", "solid"),
        ("val_accuracy", "validation", "solid"),
        ("val_macro_f1", "validation macro F1", "dashed"),
    ]
    losses, weights = figures.loss_lines(history), figures.weight_lines(history)
    rates = figures.rate_lines(history)
    panels = {
        "Accuracy": figures.curve(
            history, accuracy, name="accuracy", title="Accuracy", kept=kept["epoch"], percent=True
        ),
        "Loss": figures.curve(history, losses, name="loss", title="Loss", kept=kept["epoch"]),
        **{
            title: figures.curve(history, lines, name=name, title=title, percent=name == "branches")
            for title, name, lines in figures.branch_panels(history)
        },
        "Share of the loss": figures.shares(history, name="shares", title="Share of the weighted loss"),
        "Weight of each term": figures.curve(history, weights, name="weights", title="Weight", log=True),
        "Learning rate": figures.curve(history, rates, name="rate", title="Learning rate", log=True),
    }
    return {
        "panels": [(title, drawing) for title, drawing in panels.items() if drawing is not None],
        "kept": kept,
        "phases": figures.phases(history),
    }


def distribution(run: RunFolder) -> dict[str, Any] | None:
    """Pictures of each class by split, and samples; None without a catalog."""
    known = [row for row in run.listed if row["label"]]
    if not known:
        return None
    names = list(dict.fromkeys([*run.class_names, *(row["label"] for row in known)]))
    labels = {name: label for label, name in enumerate(names)}
    rows = [(row["path"], labels[row["label"]], row["split"]) for row in known]
    return class_pictures(run.data_root, names, rows)


def calibration(table: PredictionTable, summary: dict[str, Any]) -> dict[str, Any]:
    rows = table.of_split(summary["split"])
    label = (
        f"Reliability diagram: calibration error {percent(summary['ece'])}, "
        f"mean confidence {percent(summary['mean_confidence'])}, accuracy {percent(summary['accuracy'])}"
    )
    result: dict[str, Any] = {
        "figure": figures.reliability_diagram(summary["reliability"], name="reliability", label=label),
        "gap": summary["mean_confidence"] - summary["accuracy"],
    }
    if "val" in table.splits and summary["split"] != "val":
        result["scaled"] = answering(rows, answer_rule(table))
    return result
