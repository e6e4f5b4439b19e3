"""Validation during training: loss terms and a few metrics of one pass over a split."""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.metrics import f1_score, recall_score

from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives import Objective, Progress
from foveate.training.feeds import Feed


def validate(
    forward: Callable[[Batch], Output],
    prepare: Callable[[Batch], Batch],
    feed: Feed,
    objective: Objective,
    progress: Progress,
    *,
    labelled: bool = True,
) -> dict[str, float]:
    """Means over all pictures: every term, their weighted sum ``loss``; accuracy, balanced accuracy and macro F1 where
    the pictures are ``labelled``.

    The network must be in eval mode; the objective is put into it, so that weights stay as they are. Terms that
    differentiate the network (class maps) get gradients enabled.
    """
    objective.eval()
    sums: dict[str, float] = {}
    predictions: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    with torch.enable_grad() if objective.differentiates else torch.no_grad():
        for raw in feed.epoch(0):
            batch = objective.prepare(prepare(raw))
            output = forward(batch)
            terms = objective(output, batch, progress)
            total = objective.weigh(terms, output, progress).total
            for name, value in {**terms, "loss": total}.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) * len(batch)
            predictions.append(output.logits.detach().argmax(dim=1).cpu().numpy())
            targets.append(batch.targets.cpu().numpy())
    predicted, true = np.concatenate(predictions), np.concatenate(targets)
    means = {name: value / len(true) for name, value in sums.items()}
    if not labelled:
        return means
    present = np.unique(true)
    return {
        **means,
        "accuracy": float((predicted == true).mean()),
        "balanced_accuracy": float(
            recall_score(true, predicted, labels=present, average="macro", zero_division=0)
        ),
        "macro_f1": float(f1_score(true, predicted, labels=present, average="macro", zero_division=0)),
    }
