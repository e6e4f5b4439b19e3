"""Mixup and Remix against their formulas, picture by picture."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from foveate.augmentation import TRANSFORMS, build_transforms
from foveate.augmentation.mixup import Mixup, Remix
from foveate.data.batch import Batch
from foveate.experiment import Experiment
from foveate.models.output import Output
from foveate.objectives import Progress
from foveate.objectives.classification import CrossEntropy, Focal, Huber
from foveate.objectives.term import Context

MODEL = nn.Identity()


def make_batch(targets: list[int]) -> Batch:
    n = len(targets)
    g = torch.Generator().manual_seed(0)
    masks = torch.rand(n, 1, 5, 5, generator=g)
    has_mask = torch.tensor([k != 0 for k in range(n)])
    images = torch.randn(n, 3, 5, 5, generator=g)
    return Batch(images, torch.tensor(targets), masks, has_mask, torch.arange(n))


def drawn(seed: int, n: int, alpha: float) -> tuple[float, np.ndarray]:
    """lambda and the permutation of a transform with p = 1."""
    rng = np.random.default_rng(seed)
    rng.random()
    return float(rng.beta(alpha, alpha)), rng.permutation(n)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_mixup_is_its_formula(seed: int, alpha: float) -> None:
    before = make_batch([0, 1, 2, 0, 1])
    kept, partner = drawn(seed, 5, alpha)
    found = Mixup(Mixup.Config(alpha=alpha), (3, 3, 3))(
        make_batch([0, 1, 2, 0, 1]), MODEL, np.random.default_rng(seed), Progress()
    )
    one_hot = torch.eye(3)[before.targets]
    for k in range(5):
        other = int(partner[k])
        torch.testing.assert_close(
            found.images[k], kept * before.images[k] + (1 - kept) * before.images[other]
        )
        torch.testing.assert_close(found.masks[k], kept * before.masks[k] + (1 - kept) * before.masks[other])
        torch.testing.assert_close(found.targets[k], kept * one_hot[k] + (1 - kept) * one_hot[other])
        assert bool(found.has_mask[k]) == (k != 0 and other != 0)


def remix_share(own: int, other: int, counts: list[int], kept: float, kappa: float, tau: float) -> float:
    """Chou et al., equation 4, in plain Python."""
    ratio = counts[own] / counts[other]
    if ratio >= kappa and kept < tau:
        return 0.0
    if ratio <= 1 / kappa and 1 - kept < tau:
        return 1.0
    return kept


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    counts=st.lists(st.integers(1, 50), min_size=3, max_size=3),
    kappa=st.floats(1.0, 8.0),
    tau=st.floats(0.0, 1.0),
)
def test_remix_is_its_formula(seed: int, counts: list[int], kappa: float, tau: float) -> None:
    targets = [0, 1, 2, 0, 2, 1]
    kept, partner = drawn(seed, 6, 1.0)
    found = Remix(Remix.Config(kappa=kappa, tau=tau), counts)(
        make_batch(targets), MODEL, np.random.default_rng(seed), Progress()
    )
    plain = Mixup(Mixup.Config(), counts)(make_batch(targets), MODEL, np.random.default_rng(seed), Progress())
    assert torch.equal(found.images, plain.images)
    one_hot = torch.eye(3)
    for k, own in enumerate(targets):
        other = targets[partner[k]]
        ratio = counts[own] / counts[other]
        if min(abs(ratio - kappa), abs(ratio - 1 / kappa), abs(kept - tau), abs(1 - kept - tau)) < 1e-6:
            continue  # float32 and float64 may fall on different sides
        share = remix_share(own, other, counts, kept, kappa, tau)
        torch.testing.assert_close(found.targets[k], share * one_hot[own] + (1 - share) * one_hot[other])


def test_remix_gives_the_rare_class_what_mixup_would_share() -> None:
    """Half of the pairs are of two classes; the rare one gets 1 or, in the half that is left alone, 1/4: 5/8."""
    rare, plain = 0.0, 0.0
    for seed in range(100):
        targets = [0, 1] * 8
        found = Remix(Remix.Config(), (10, 100))(
            make_batch(targets), MODEL, np.random.default_rng(seed), Progress()
        )
        mixed = Mixup(Mixup.Config(), (10, 100))(
            make_batch(targets), MODEL, np.random.default_rng(seed), Progress()
        )
        rare += float(found.targets[:, 0].mean()) / 100
        plain += float(mixed.targets[:, 0].mean()) / 100
    assert rare == pytest.approx(0.5 * 0.5 + 0.5 * 5 / 8, abs=0.015)
    assert plain == pytest.approx(0.5, abs=1e-4)


def test_mixed_labels_can_be_mixed_again_and_every_loss_takes_them() -> None:
    experiment = Experiment.from_dict(
        {"transforms": [{"transform": name} for name in ("cutmix", "mixup", "remix")]}
    )
    assert {"cutmix", "mixup", "remix"} < set(TRANSFORMS)
    batch = make_batch([0, 1, 2, 0, 1])
    for number, transform in enumerate(build_transforms(experiment.transforms, (4, 2, 1))):
        batch = transform(batch, MODEL, np.random.default_rng(number), Progress())
    torch.testing.assert_close(batch.targets.sum(1), torch.ones(5))
    output = Output(torch.randn(5, 3, generator=torch.Generator().manual_seed(1)))
    context = Context(("a", "b", "c"), [4, 2, 1])
    log_p = output.logits.log_softmax(1)
    loss = CrossEntropy(CrossEntropy.Config(), context)(output, batch, Progress())
    torch.testing.assert_close(loss, -(batch.targets * log_p).sum(1).mean())
    # The mixture of losses is the loss of the mixture, for one lambda: lambda CE(a) + (1 - lambda) CE(b).
    for kind in (Focal, Huber):
        assert torch.isfinite(kind(kind.Config(), context)(output, batch, Progress()))
