"""Validation during training: loss terms and a few metrics of one pass over a split."""

import numpy as np
import torch
from sklearn.metrics import f1_score, recall_score

from foveate.models.networks import Network
from foveate.objectives import Progress
from foveate.training.loaders import Feed
from foveate.training.selection import WorstAttributeValidation
from foveate.training.step import Step


def validate(
    step: Step, network: Network, feed: Feed, progress: Progress, *, labelled: bool = True
) -> dict[str, float]:
    """Means over all pictures: every term, their weighted sum ``loss``; accuracy, balanced accuracy and macro F1 where
    the pictures are ``labelled``, and for each attribute the accuracy of the worst class with one value of it.

    The network must be in eval mode; the objective is put into it, so that weights stay as they are. Terms that
    differentiate the network (class maps) get gradients enabled.
    """
    step.objective.eval()
    sums: dict[str, float] = {}
    predictions: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    with torch.enable_grad() if step.objective.differentiates else torch.no_grad():
        for raw in feed.epoch(0):
            done = step.evaluate(network, raw, progress)
            for name, value in {**done.terms, "loss": done.weighed.total}.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) * len(raw)
            predictions.append(done.output.logits.detach().argmax(dim=1).cpu().numpy())
            targets.append(done.batch.targets.cpu().numpy())
    predicted, true = np.concatenate(predictions), np.concatenate(targets)
    means = {name: value / len(true) for name, value in sums.items()}
    if not labelled:
        return means
    present = np.unique(true)
    worst = {}
    for name, values in step.job.feeds.attributes_of("val").items():
        _, number = np.unique(np.char.add(np.char.add(true.astype(str), " "), values), return_inverse=True)
        score = WorstAttributeValidation().score(predicted == true, np.where(values == "", -1, number))
        worst[f"worst_{name}_accuracy"] = score
    return {
        **means,
        **worst,
        "accuracy": float((predicted == true).mean()),
        "balanced_accuracy": float(
            recall_score(true, predicted, labels=present, average="macro", zero_division=0)
        ),
        "macro_f1": float(f1_score(true, predicted, labels=present, average="macro", zero_division=0)),
    }
