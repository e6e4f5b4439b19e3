"""Validation during training: loss terms and a few metrics of one pass over a split."""

import numpy as np
import torch
import torch.nn.functional as F

from foveate.data.catalog import subgroups
from foveate.models.networks import Network
from foveate.objectives import Progress
from foveate.training.loaders import Feed
from foveate.training.selection import WorstAttributeValidation
from foveate.training.step import Outcome, Step


def validate(
    step: Step, network: Network, feed: Feed, progress: Progress, *, labelled: bool = True
) -> dict[str, float]:
    """Means over all pictures: every term, their weighted sum ``loss``; where the pictures are ``labelled`` accuracy,
    balanced accuracy, macro F1, for each attribute the accuracy of the worst class with one value of it, and of each
    branch ``accuracy_<branch>`` and its cross-entropy ``loss_<branch>``.

    The network must be in eval mode; the objective is put into it, so that weights stay as they are. Terms that
    differentiate the network (class maps) get gradients enabled.
    """
    from sklearn.metrics import f1_score, recall_score

    step.objective.eval()
    sums: dict[str, float] = {}
    predictions: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    with torch.enable_grad() if step.objective.differentiates else torch.no_grad():
        for raw in feed.epoch(0):
            done = step.evaluate(network, raw, progress)
            branches = _of_branches(network, done) if labelled else {}
            for name, value in {**done.terms, **branches, "loss": done.weighed.total}.items():
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
        numbers = np.where(values == "", -1, subgroups(true, values.tolist()))
        score = WorstAttributeValidation().score(predicted == true, numbers)
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


def _of_branches(network: Network, done: Outcome) -> dict[str, torch.Tensor]:
    found = {}
    for name, given in done.output.branches.items():
        if name not in network.vectors:
            logits = given.detach().float()
            labels = done.batch.targets.repeat_interleave(len(logits) // len(done.batch))
            found[f"accuracy_{name}"] = (logits.argmax(dim=1) == labels).float().mean()
            found[f"loss_{name}"] = F.cross_entropy(logits, labels)
    return found
