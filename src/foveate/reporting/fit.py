"""Does the network over- or underfit: training, validation and test accuracy side by side, a verdict in words, and what
to try next."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from foveate.core.intervals import LEVEL, wilson
from foveate.evaluation.attributes import accuracy_of
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.summary import convergence_epoch
from foveate.experiment.run_folder import RunFolder
from foveate.reporting.text import percent
from foveate.studies.metrics import value_at
from foveate.training.phases import higher_is_better

LEARNT = 0.95
"""Below this share of its own training pictures, by more than chance, a network has not learnt them."""
GAP = 0.05
"""Training accuracy above that of new pictures by more than this is overfitting, where it is no chance."""
LATE = 0.9
"""A best epoch in the last tenth says that training was still getting better."""
RISEN = 1.1
"""Validation loss at the end over its smallest: above this it rose again."""
TINY = 0.05
"""Nats; a validation loss that ends below tells nothing by how often it holds its smallest."""


def fit(run: RunFolder, split: str) -> dict[str, Any] | None:
    """What the section shows; None where nothing tells how the training pictures are answered."""
    table, history = run.predictions, run.history if run.has("history.csv") else []
    rows: dict[str, dict[str, Any]] = {
        name: accuracy_of(own.correct, own.group)
        for name in ("train", "val", "test")
        if name in table.splits and len(own := table.of_split(name))
    }
    seen = (
        "as they are"
        if "train" in rows
        else "as varied by augmentation, in the epoch whose weights were kept"
    )
    if "train" not in rows:
        share = kept_epoch(run, history).get("train_accuracy")
        if share is None:
            return None
        n = sum(row["split"] == "train" for row in run.listed)
        rows = {"train": {"accuracy": share, "n": n or None}} | rows
    new = rows.get(split)
    if split == "train" or new is None:
        return None
    guided = "background_swap" in {value_at(one, "kind") for one in run.settings.get("transforms") or []}
    kind, words, tries = verdict(rows["train"]["accuracy"], rows["train"]["n"], new, history, guided)
    return {"rows": rows, "seen": seen, "kind": kind, "words": words, "tries": tries, "apart": _apart(table)}


def kept_epoch(run: RunFolder, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of the epoch whose weights the run ended with."""
    if not history:
        return {}
    phases = value_at(run.settings, "training", "phases")
    metric = (
        phases[-1].get("restore_best") if isinstance(phases, list) and isinstance(phases[-1], dict) else None
    )
    last = [row for row in history if row["phase"] == history[-1]["phase"]]
    known = [row for row in last if metric and isinstance(row.get(metric), float)]
    if not known or not metric:
        return history[-1]
    return (max if higher_is_better(metric) else min)(known, key=lambda row: row[metric])


def verdict(
    learnt: float,
    n_learnt: int | None,
    new: dict[str, Any],
    history: Sequence[dict[str, Any]],
    guided: bool = False,
) -> tuple[str, str, list[str]]:
    """(overfits, underfits, both or neither; the same in a sentence; what to try next).

    The gap counts where its interval, from both pictures' own (Newcombe 1998), lies above zero and it is above ``GAP``.

    Args:
        learnt: accuracy on ``n_learnt`` training pictures.
        new: ``accuracy_of`` pictures that were not trained on.
        history: rows of history.csv.
        guided: backgrounds were swapped in training.
    """
    gap, n = learnt - new["accuracy"], n_learnt or new["n"]
    low, high = gap_interval(learnt, n, new)
    own = wilson(learnt * n, n)
    assert own is not None
    over, under = gap > GAP and low > 0, own[1] < LEARNT
    points = f"{100 * gap:.1f} points ({100 * LEVEL:.0f} % interval {100 * low:.1f} to {100 * high:.1f})"
    losses = [row["val_loss"] for row in history if isinstance(row.get("val_loss"), float)]
    rose = len(losses) > 2 and losses[-1] > RISEN * min(losses)
    told = rose and losses[-1] >= TINY
    best = convergence_epoch(history, "val_accuracy")
    late = best is not None and len(history) > 4 and best > history[0]["epoch"] + LATE * (len(history) - 1)
    full = any(row.get("val_accuracy") == 1 for row in history)
    kind = "both" if over and under else "overfits" if over else "underfits" if under else "neither"
    words = {
        "overfits": f"It overfits: of its training pictures it names {percent(learnt)}, of new ones less by {points}.",
        "underfits": f"It underfits: even of its own training pictures it names only {percent(learnt)}. The gap to new "
        f"ones, {points}, is small, or may be chance.",
        "both": f"Both: it names only {percent(learnt)} of its training pictures, and new ones are worse by {points}.",
        "neither": f"Neither: it names {percent(learnt)} of its training pictures, and the gap of {points} to new ones "
        "is small, or may be chance.",
    }[kind]
    if told and not under:
        sign = (
            "a sign of overfitting" if over else "towards the end confidence was overfitted, answers were not"
        )
        words += f" The validation loss ended {losses[-1] / min(losses):.1f} times its smallest: {sign}."
    tries = []
    if over:
        tries += [
            "more training pictures, of the classes confused most first",
            "stronger augmentation (--augment advanced), or mixing (foveate list augmentations)",
            "fewer weights that move: --freeze backbone, or a smaller backbone",
        ]
        if not guided:
            tries.append("with masks: --guide backgrounds, so that surroundings cannot be learnt by heart")
    if under:
        tries += [
            "a larger backbone, or where it is frozen one that is trained (--freeze none)",
            "another learning rate (--lr auto), weaker augmentation (--augment basic)",
            "larger pictures (--size), where what tells the classes apart is small",
        ]
    if late and not rose and not full:
        tries.insert(0, f"more epochs: the best, {best}, is among the last ones")
    if not tries and new["accuracy"] == 1:
        tries = [f"harder pictures, or some taken elsewhere: {new['n']} that are all right tell no more"]
    if not tries:
        tries = ["more pictures help most where classes are confused; see the matrix"]
    return kind, words, tries


def gap_interval(learnt: float, n: int, new: dict[str, Any]) -> tuple[float, float]:
    """Of the difference of two independent shares, from Wilson's intervals of each (Newcombe 1998, method 10)."""
    own = wilson(learnt * n, n)
    assert own is not None
    a, b = learnt, new["accuracy"]
    down = np.hypot(a - own[0], new["accuracy_high"] - b)
    up = np.hypot(own[1] - a, b - new["accuracy_low"])
    return float(a - b - down), float(a - b + up)


def _apart(table: PredictionTable) -> str:
    """A sentence where validation and test differ by more than chance; else ""."""
    if not {"val", "test"} <= set(table.splits):
        return ""
    val, test = (table.of_split(name) for name in ("val", "test"))
    own = accuracy_of(test.correct, test.group)
    low, high = gap_interval(float(val.correct.mean()), len(val), own)
    if low > 0:
        points = 100 * (val.correct.mean() - own["accuracy"])
        return (
            f"Validation pictures are answered better than test pictures by {points:.1f} points, more than chance "
            "gives: choices were fitted to them, or the splits differ. Trust the test figure."
        )
    if high < 0:
        return "Test pictures are answered better than validation pictures, more than chance gives: the splits differ."
    return ""
