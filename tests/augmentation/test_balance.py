"""Transforms for rare classes: SMOTE inside the network, minority mixing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augmentation_helpers import COUNTS, MODEL, apply, places, told
from foveate.augmentation.cutmix import MinorityMix
from foveate.augmentation.smote import Smote, between_neighbours
from foveate.core.progress import Progress
from foveate.core.rng import numpy_generator
from foveate.training.precision import Precision
from foveate.training.step import Step
from training_helpers import phase, toy_job


def test_neighbours_are_the_nearest_of_the_class() -> None:
    maps = torch.randn(12, 5, 2, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2] * 4)
    same = labels[:, None] == labels
    points = maps.mean(dim=(2, 3))
    step, moves = torch.linspace(0, 1, 12), torch.arange(12) % 4 != 0
    for rank, which in ((0.0, 0), (0.34, 1), (0.67, 2), (0.999, 2)):
        found = between_neighbours(maps, same, moves, torch.full((12,), rank), step, most=5)
        for k in range(12):
            others = [j for j in range(12) if j != k and labels[j] == labels[k]]
            others.sort(key=lambda j: float((points[j] - points[k]).norm()))
            target = maps[k] if not moves[k] else maps[k] + step[k] * (maps[others[which]] - maps[k])
            torch.testing.assert_close(found[k], target)
    nearest = between_neighbours(maps, same, moves, torch.full((12,), 0.99), torch.ones(12), most=1)
    closest = between_neighbours(maps, same, moves, torch.zeros(12), torch.ones(12), most=5)
    assert torch.equal(nearest, closest)
    maps.requires_grad_()
    between_neighbours(maps, same, moves, torch.zeros(12), step, most=5).sum().backward()
    assert bool(maps.grad.isfinite().all())


def test_only_rare_classes_move_and_their_masks_are_not_known() -> None:
    batch = told(9).replace(has_mask=torch.ones(9).bool())
    found = apply("smote", batch, p=1.0)
    assert list(found.edits) == ["late"]
    assert (~found.has_mask).tolist() == [
        k % 3 == 2 for k in range(9)
    ]  # counts 5, 3, 1: the third class is rare
    both = apply("smote", batch, p=1.0, rare=0.7)
    assert (~both.has_mask).tolist() == [k % 3 != 0 for k in range(9)]
    assert torch.equal(found.images, batch.images)
    assert torch.equal(found.targets, batch.targets)
    for alone in (
        apply("smote", batch, p=1.0, rare=0.0),
        apply("smote", told(3), p=1.0),
        apply("smote", told(1)),
    ):
        assert not alone.edits
    equal = Smote(Smote.Config(p=1.0), (4, 4, 4))
    assert not equal(batch, MODEL, np.random.default_rng(0), Progress()).edits


def test_it_moves_features_inside_the_network() -> None:
    transform = Smote(Smote.Config(p=1.0), (30, 30, 2))
    job = toy_job(transforms=(transform,), phases=[phase()])
    network = job.model.eval()
    raw = job.feeds.sample(8)
    done = Step(job, job.objective, Precision("fp32")).train(network, raw, Progress(), 0)
    images = job.prepare(raw, Precision("fp32")).images
    maps = network.backbone.forward_features(images)
    rng = numpy_generator(job.seed, "transform", 0, 0)
    rng.random(8)
    rank, step = (torch.from_numpy(rng.uniform(0, 1, 8)).float() for _ in range(2))
    rare = raw.targets == 2
    assert int(rare.sum()) > 1
    same = raw.targets[:, None] == raw.targets
    moved = between_neighbours(maps, same, rare, rank, step, 5)
    expected = network.head(network.backbone.forward_head(moved, pre_logits=True))
    torch.testing.assert_close(done.output.logits, expected, rtol=1e-5, atol=1e-6)
    plain = network(images).logits
    torch.testing.assert_close(done.output.logits[~rare], plain[~rare], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(done.output.logits[rare], plain[rare], atol=1e-4)


def test_rare_classes_lend_more_often() -> None:
    transform = MinorityMix(MinorityMix.Config(), COUNTS)
    drawn = [transform.partner(told(), np.random.default_rng(seed)) for seed in range(500)]
    shares = np.bincount(torch.cat(drawn).numpy() % 3, minlength=3) / 3000
    expected = np.array([1 / 5, 1 / 3, 1]) / (1 / 5 + 1 / 3 + 1)
    np.testing.assert_allclose(shares, expected, atol=0.03)
    flat = MinorityMix(MinorityMix.Config(power=0.0), COUNTS)
    drawn = [flat.partner(told(), np.random.default_rng(seed)) for seed in range(500)]
    np.testing.assert_allclose(np.bincount(torch.cat(drawn).numpy(), minlength=6) / 3000, 1 / 6, atol=0.03)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 6), side=st.integers(3, 15))
def test_minority_mixing_labels_by_area(seed: int, count: int, side: int) -> None:
    batch = told(count, side, side + 2)
    found = apply("minority_mix", batch, seed)
    whose = found.images[:, 0].long() - 1
    labels = torch.nn.functional.one_hot(batch.targets[whose], 3).float().mean(dim=(1, 2))
    torch.testing.assert_close(found.targets, labels, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.masks[:, 0], batch.masks[whose, 0, 0, 0])


@pytest.mark.parametrize("kind", ["smote", "minority_mix"])
def test_the_same_generator_the_same_batch(kind: str) -> None:
    first, second = apply(kind, places(9), 3), apply(kind, places(9), 3)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.has_mask, second.has_mask)
