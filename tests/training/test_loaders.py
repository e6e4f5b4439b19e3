"""Stored features: the same head as the slow way, and the backbone runs once for each picture and view."""

from typing import Any

import pytest
import torch

from foveate.training import Job, fit
from foveate.training import phase_plan as training_setup
from training_helpers import phase, toy_job, weights_of

HEAD = phase(epochs=5, trainable="head", views=2, schedule="one_cycle")


def seen_pictures(job: Job) -> list[int]:
    """Fills with the number of pictures of every pass through the backbone."""
    seen: list[int] = []
    features = job.model.features

    def count(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return features(images)

    job.model.features = count  # type: ignore[method-assign]
    return seen


def test_the_same_head_as_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = toy_job(phases=[HEAD])
    passes = seen_pictures(fast)
    quick = fit(fast)
    folding, passes = passes[:4], passes[4:]
    assert folding == [2] * 4  # of noise, before and after BatchNorms are folded, disturbed and as they are
    assert sum(passes) == 2 * 32 + 16
    assert fast.decisions.as_list()[0]["value"] == "stored"

    monkeypatch.setattr(training_setup, "why_not_stored", lambda job, phase: "the test wants it so")
    slow = toy_job(phases=[HEAD])
    passes = seen_pictures(slow)
    plain = fit(slow)
    assert sum(passes) == 5 * (32 + 16)
    assert slow.decisions.as_list()[0]["value"] == "recomputed"

    for one, other in zip(quick, plain, strict=True):
        assert one["train_accuracy"] == other["train_accuracy"]
        assert one["val_accuracy"] == other["val_accuracy"]
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-5)
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-5)
    assert quick[0]["train_loss"] != quick[-1]["train_loss"]
    for name, value in weights_of(fast).items():
        assert torch.allclose(value, weights_of(slow)[name], atol=1e-5), name


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"phases": [phase(trainable="all")]}, "trained in this phase"),
        ({"phases": [phase(trainable="head", freeze_bn=False)]}, "still changes"),
        ({"phases": [phase(trainable="head")], "transforms": (lambda b, m, r, p: b,)}, "every step"),
    ],
)
def test_why_features_are_not_stored(changes: dict[str, Any], reason: str) -> None:
    import re

    job = toy_job(**changes)
    fit(job)
    decision = job.decisions.as_list()[0]
    assert decision["value"] == "recomputed"
    assert re.search(reason, decision["reason"])


def test_views_are_chosen_by_augmentation() -> None:
    for augment, epochs, views in (("none", 20, 1), ("basic", 3, 3), ("basic", 10, 8)):
        job = toy_job(augment=augment, phases=[phase(trainable="head", epochs=epochs)])
        fit(job)
        assert [d["value"] for d in job.decisions.as_list() if d["name"] == "views: p"] == [views]


def test_balanced_sampling_evens_out_the_classes() -> None:
    import numpy as np

    labels = np.concatenate([np.zeros(24, int), np.ones(6, int), np.full(2, 2), np.arange(16) % 3])
    for sampling, largest in (("natural", 24), ("balanced", 11)):
        job = toy_job(labels=labels, sampling=sampling, phases=[phase(trainable="head")])
        counts = np.zeros(3, int)
        head = job.model.head
        fed = job.feeds.stored("train", 1, 8, lambda batch: batch.images.flatten(1).float())
        for batch in fed.epoch(0):
            counts += np.bincount(batch.targets.numpy(), minlength=3)
        assert counts.max() == largest
        assert counts.sum() == 32
        before = head.classifier.weight.detach().clone()
        rows = fit(job)
        assert len(rows) == 2
        assert not torch.equal(before, head.classifier.weight)
