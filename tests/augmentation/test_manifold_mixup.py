"""Manifold mixup against a plain pass: features up to the layer, blended by hand, and the rest of the network."""

import numpy as np
import pytest
import torch

from foveate.augmentation.mixup import ManifoldMixup, Mixup
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.data.batch import Batch
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig
from foveate.training.precision import Precision
from foveate.training.step import Step
from training_helpers import phase, toy_job

COUNTS = (2, 2, 2)


def batch(count: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        torch.randn(count, 3, 32, 32, generator=generator), torch.arange(count) % 3,
        torch.rand(count, 1, 32, 32, generator=generator), torch.arange(count) != 1, torch.arange(count),
    )  # fmt: skip


def test_it_blends_inside_the_network_as_by_hand() -> None:
    job = toy_job(
        transforms=(ManifoldMixup(ManifoldMixup.Config(layers=("late",)), COUNTS),), phases=[phase()]
    )
    network = job.model.eval()
    raw = job.feeds.sample(8)
    done = Step(job, job.objective, Precision("fp32")).train(network, raw, Progress(), 0)

    from foveate.core.rng import numpy_generator

    rng = numpy_generator(job.seed, "transform", 0, 0)
    rng.random(), rng.integers(1)
    kept, partner = rng.beta(2.0, 2.0), torch.from_numpy(rng.permutation(8))
    maps = network.backbone.forward_features(job.prepare(raw, Precision("fp32")).images)
    blended = kept * maps + (1 - kept) * maps[partner]
    expected = network.head(network.backbone.forward_head(blended, pre_logits=True))
    torch.testing.assert_close(done.output.logits, expected, rtol=1e-5, atol=1e-6)
    one_hot = torch.eye(3)[raw.targets]
    torch.testing.assert_close(done.batch.targets, (kept * one_hot + (1 - kept) * one_hot[partner]).float())


def test_at_the_input_it_is_mixup() -> None:
    found = ManifoldMixup(ManifoldMixup.Config(layers=("input",), alpha=0.5), COUNTS)
    network = build_network(
        ModelConfig(backbone="foveate_small_cnn", weights="none"), classes=3, size=32, seed=0
    )
    mixed = found(batch(), network, np.random.default_rng(4), Progress())
    rng = np.random.default_rng(4)
    rng.random(), rng.integers(1)
    plain = Mixup(Mixup.Config(alpha=0.5), COUNTS)(batch(), network, rng, Progress())
    assert torch.equal(mixed.images, plain.images)
    assert torch.equal(mixed.targets, plain.targets)


def test_layers_are_drawn_alike_and_masks_are_known_where_both_are() -> None:
    transform = ManifoldMixup(ManifoldMixup.Config(layers=("early", "middle")), COUNTS)
    seen = []
    for seed in range(200):
        found = transform(batch(), torch.nn.Identity(), np.random.default_rng(seed), Progress())
        seen += list(found.edits)
        assert int(found.has_mask.sum()) in (4, 5)  # one mask is missing: its own place and its partner's
    assert abs(seen.count("early") - 100) < 40
    assert len(seen) == 200


def test_a_layer_that_is_not_there_and_a_compiled_network_are_refused() -> None:
    for settings, sentence in (({}, "has no module .nowhere."), ({"compile": True}, "compiled network")):
        made = toy_job(
            transforms=(ManifoldMixup(ManifoldMixup.Config(layers=("nowhere",)), COUNTS),),
            phases=[phase()],
            **settings,
        )
        step = Step(made, made.objective, Precision("fp32"))
        with pytest.raises(ConfigError, match=sentence):
            step.train(made.model, made.feeds.sample(8), Progress(), 0)
