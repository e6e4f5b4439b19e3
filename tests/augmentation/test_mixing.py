"""Transforms that mix pictures: label weights are the shares of the pixels, masks go along."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from augmentation_helpers import apply, places, told
from foveate.augmentation.cutmix import draw_box
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.classification import CrossEntropy
from foveate.objectives.term import Context

from timm.data.mixup import Mixup as timm_mixup  # isort: skip  (after the guard)
from timm.data.mixup import rand_bbox  # isort: skip

HARD = {
    "cow_mix": {},
    "resizemix": {},
    "ricap": {},
    "ricap corner": {"origin": "corner", "beta": 1.0},
    "ricap centre": {"origin": "centre", "beta": 1.0},
}
"""Every pixel is of one picture."""
MIXING = {**HARD, "smoothmix": {}, "cutmix": {}, "mixup": {}}


def mixed(name: str, batch: Batch, seed: int, **more: object) -> Batch:
    return apply(name.split()[0], batch, seed, **{**MIXING[name], **more})


@pytest.mark.parametrize("name", HARD)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000), count=st.integers(1, 6), height=st.integers(3, 17), width=st.integers(3, 17)
)
def test_labels_are_the_shares_of_the_pixels(
    name: str, seed: int, count: int, height: int, width: int
) -> None:
    batch = told(count, height, width)
    found = mixed(name, batch, seed)
    whose = found.images[:, 0].round().long() - 1
    torch.testing.assert_close(found.images[:, 0], whose + 1.0)
    labels = F.one_hot(batch.targets[whose], 3).float().mean(dim=(1, 2))
    torch.testing.assert_close(found.targets, labels, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        found.masks, batch.masks[whose, :, 0, 0].permute(0, 3, 1, 2), atol=1e-5, rtol=0
    )
    for k in range(count):
        sources = whose[k].unique()
        if bool(found.has_mask[k]):
            assert bool(batch.has_mask[sources].all())
        elif len(sources) == 4:
            assert not bool(batch.has_mask[sources].all())


@pytest.mark.parametrize("name", MIXING)
def test_the_gradient_is_that_of_the_mixed_cross_entropies(name: str) -> None:
    """d CE(soft) = sum_c w_c d CE(c): the loss takes soft labels as they are meant."""
    found = mixed(name, told(), 5)
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    loss = CrossEntropy(CrossEntropy.Config(), Context(("a", "b", "c"), (1, 1, 1)))
    (gradient,) = torch.autograd.grad(loss(Output(logits), found, Progress()), logits)
    parts = torch.stack([F.cross_entropy(logits, torch.full((6,), c), reduction="none") for c in range(3)], 1)
    (expected,) = torch.autograd.grad((found.targets * parts).sum(1).mean(), logits)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("name", MIXING)
def test_one_picture_without_a_mask_stays_what_it_is(name: str) -> None:
    batch = told(1)
    found = mixed(name, batch, 2)
    torch.testing.assert_close(found.images, batch.images)
    torch.testing.assert_close(found.targets, torch.tensor([[1.0, 0.0, 0.0]]))
    assert not found.has_mask.any()


@pytest.mark.parametrize("name", MIXING)
def test_it_is_drawn_by_the_generator_and_refuses_unlabelled_pictures(name: str) -> None:
    first, second, other = (mixed(name, places(), seed) for seed in (3, 3, 4))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.targets, second.targets)
    assert not torch.equal(first.images, other.images)
    assert torch.equal(mixed(name, places(), 3, p=0.0).images, places().images)
    with pytest.raises(ConfigError, match="unlabelled"):
        mixed(name, told().replace(targets=torch.full((6,), -1)), 3)


def share_of(
    kind: str, measure: Callable[[Batch], float], seeds: int = 400, **options: object
) -> list[float]:
    return [measure(apply(kind, told(2, 40, 40), seed, **options)) for seed in range(seeds)]


def test_areas_follow_their_formulas() -> None:
    def pasted(found: Batch) -> float:
        return float((found.images[0, 0] > 1.5).float().mean())

    resized = share_of("resizemix", pasted)
    partners = np.array(resized) > 0  # half of the permutations leave a picture alone
    assert np.mean(partners) == pytest.approx(0.5, abs=0.08)
    expected = (0.8**3 - 0.1**3) / (3 * 0.7)  # E[tau^2], tau ~ U(0.1, 0.8)
    assert np.mean(np.array(resized)[partners]) == pytest.approx(expected, rel=0.1)
    cows = np.array(share_of("cow_mix", pasted))
    assert cows[cows > 0].mean() == pytest.approx(0.5, abs=0.03)
    assert cows[cows > 0].std() == pytest.approx(0.6 / 12**0.5, abs=0.05)


def test_ricap_has_its_boundary_from_two_betas() -> None:
    shares = [apply("ricap", places(4, 50, 50), seed).targets.amax(1).mean() for seed in range(300)]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(3000):
        x, y = rng.beta(0.3, 0.3, 2)
        areas = np.array([x * y, x * (1 - y), (1 - x) * y, (1 - x) * (1 - y)])
        # Four pictures of the classes 0, 1, 2, 0, each part from any of them.
        drawn.append(np.bincount(rng.integers(4, size=4) % 3, areas, 3).max())
    assert np.mean(shares) == pytest.approx(np.mean(drawn), abs=0.02)


def test_ricap_origins() -> None:
    batch = places(6, 31, 25)
    corner = apply("ricap", batch, 3, origin="corner", beta=1.0)
    torch.testing.assert_close(corner.images[:, :2], batch.images[:, :2])  # nothing is moved
    centre = apply("ricap", batch, 3, origin="centre", beta=1.0)
    left = centre.images[0, 1, 0]
    jump = int((left.diff() < 0).nonzero()[0, 0]) + 1  # the columns of the second part begin again
    for part in (left[:jump], left[jump:]):
        assert float(part.mean()) == pytest.approx(0.0, abs=0.05)  # the middle of the picture
    moved = [apply("ricap", batch, seed, beta=1.0).images[:, :2] for seed in range(5)]
    assert all(not torch.equal(images, batch.images[:, :2]) for images in moved)


def test_resizemix_shows_the_whole_other_picture() -> None:
    batch = places(2, 40, 48)
    for seed in range(6):
        found = apply("resizemix", batch, seed, scale=(0.5, 0.5))
        place = (found.images[0, :2] != batch.images[0, :2]).any(dim=0)
        rows, columns = place.any(dim=1).nonzero()[:, 0], place.any(dim=0).nonzero()[:, 0]
        part = found.images[0, :2, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert float(part[0].min()) < -0.9
        assert float(part[0].max()) > 0.9
        assert float(part[1].max()) > 0.9
        assert float(found.targets[0].max()) == pytest.approx(0.75) or float(found.targets[0].max()) == 1.0


def test_smoothmix_weighs_pictures_by_what_multiplied_them() -> None:
    for seed in range(5):
        batch = told(2, 30, 30)
        found = apply("smoothmix", batch, seed, sigma=(0.3, 0.3))
        own = 2 - found.images[0, 0]  # x = G 1 + (1 - G) 2
        if float(found.images[0].max()) == 1:
            continue
        torch.testing.assert_close(found.targets[0, 0], own.mean(), atol=1e-4, rtol=1e-4)
        y, x = divmod(int(own.argmax()), 30)
        assert float(own.max()) == pytest.approx(1.0, abs=0.01)
        far = (torch.arange(30)[:, None] - y) ** 2 + (torch.arange(30)[None] - x) ** 2
        torch.testing.assert_close(own, torch.exp(-far / (2 * 9.0**2)), atol=0.06, rtol=0)


def test_sample_pairing_keeps_the_label_and_its_hours() -> None:
    batch = told()
    middle = Progress(epoch=13, training=0.5)
    found = apply("sample_pairing", batch, 1, middle)
    other = 2 * found.images[:, 0, 0, 0] - batch.images[:, 0, 0, 0]
    assert sorted(other.tolist()) == [1, 2, 3, 4, 5, 6]
    assert torch.equal(found.targets, batch.targets)
    assert torch.equal(found.masks, batch.masks)
    for epoch, training, on in (
        (0, 0.0, False), (3, 0.05, False), (13, 0.13, True), (17, 0.17, True), (18, 0.18, False), (19, 0.19, False),
        (20, 0.2, True), (83, 0.83, False),
    ):  # fmt: skip
        found = apply("sample_pairing", batch, 1, Progress(epoch=epoch, training=training))
        assert torch.equal(found.images, batch.images) is not on, (epoch, training)


def test_boxes_and_labels_are_timms() -> None:
    """The mean and the spread of the label that is left of a picture, over many batches."""
    rng = np.random.default_rng(0)
    theirs = []
    for kept in rng.beta(1.0, 1.0, 4000):
        top, bottom, left, right = rand_bbox((4, 3, 40, 56), kept)
        theirs.append(1 - (bottom - top) * (right - left) / (40 * 56))
    ours = []
    for seed in range(4000):
        generator = np.random.default_rng([1, seed])
        rows, columns = draw_box(40, 56, generator.beta(1.0, 1.0), generator)
        ours.append(1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (40 * 56))
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=0.02)
    assert np.std(ours) == pytest.approx(np.std(theirs), abs=0.02)
    mixup = timm_mixup(mixup_alpha=0.4, label_smoothing=0.0, num_classes=3)
    np.random.seed(0)  # noqa: NPY002  (timm draws from it)
    labels = torch.tensor([0, 1, 2, 0])
    theirs = [float(mixup(torch.zeros(4, 3, 2, 2), labels)[1][1, 1]) for _ in range(4000)]
    batch = told(4).replace(targets=labels)
    ours = [float(apply("mixup", batch, seed, alpha=0.4).targets[1, 1]) for seed in range(4000)]
    assert 0.45 < np.mean(theirs) < 0.55  # timm pairs each picture with the one at the other end of the batch
    # Ours may pair a picture with itself, a quarter of the time: 1/4 + 3/4 of the same mean.
    assert np.mean(ours) == pytest.approx(0.25 + 0.75 * np.mean(theirs), abs=0.03)
