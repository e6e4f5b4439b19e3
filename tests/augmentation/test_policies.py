"""Operations and policies on whole pictures: torchvision's, one picture at a time; masks move with pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augmentation_helpers import apply, network, places, told
from foveate.augmentation.distortions import Perspective, homography
from foveate.augmentation.operations import COLOURS, GEOMETRY, SHIFTS, from_bytes, perform, to_bytes
from foveate.augmentation.policies import AutoAugment, RandAugment, TrivialAugment
from foveate.augmentation.warp import places as places_of
from foveate.augmentation.warp import sampled
from foveate.core.progress import Progress

from torchvision.transforms import v2  # isort: skip  (after the guard)
from torchvision.transforms.v2 import functional as tv  # isort: skip

MODEL = network()
AMOUNTS = {
    "ShearX": 0.25, "ShearY": -0.2, "TranslateX": 5.7, "TranslateY": -4.2, "Rotate": 20.0, "Brightness": 0.4,
    "Color": -0.6, "Contrast": 0.5, "Sharpness": 0.8, "Posterize": 3, "Solarize": 0.4,
}  # fmt: skip


def smooth(count: int, height: int = 30, width: int = 37) -> torch.Tensor:
    """(B, 3, H, W) uint8."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(count, 3, 4, 4, generator=generator)
    images = torch.nn.functional.interpolate(small, (height, width), mode="bicubic")
    return (images.clamp(0.05, 0.95) * 255).to(torch.uint8)


@pytest.mark.parametrize("name", [*COLOURS, *GEOMETRY, *SHIFTS])
def test_operations_are_torchvisions(name: str) -> None:
    """Rows that drew an operation get it with their own amount, the others nothing."""
    images = smooth(4)
    amount = AMOUNTS.get(name, 0.0)
    masks = (images[:, :1] > 128).float()
    names = np.array([name, "Identity", name, name])
    amounts = np.array([amount, 0.7, amount, amount / 2 if name != "Posterize" else 5])
    found, moved = images.float(), masks.clone()
    perform(found, moved, [(names, amounts)])
    assert torch.equal(found, found.round())
    assert torch.equal(found[1], images[1].float())
    policy = v2.RandAugment(interpolation=v2.InterpolationMode.BILINEAR)
    for k in (0, 2, 3):
        theirs = policy._apply_image_or_video_transform(
            images[k], name, float(amounts[k]), policy.interpolation, {torch.Tensor: None, "others": None}
        )
        assert (found[k].int() - theirs.int()).abs().max() <= 2
        if name not in COLOURS:
            exact = policy._apply_image_or_video_transform(
                masks[k],
                name,
                float(amounts[k]),
                v2.InterpolationMode.NEAREST,
                {torch.Tensor: None, "others": None},
            )
            assert (moved[k] != exact).float().mean() < 0.01
        else:
            assert torch.equal(moved[k], masks[k])


def test_what_policies_draw() -> None:
    rng, now = np.random.default_rng(0), Progress()
    (drawn,) = TrivialAugment(TrivialAugment.Config(), ()).plan(4000, (32, 48), rng, now)
    names, counts = np.unique(drawn[0], return_counts=True)
    assert len(names) == 14
    assert abs(counts - 4000 / 14).max() < 80
    turned = drawn[1][drawn[0] == "Rotate"]
    assert abs(turned).max() == pytest.approx(135)
    assert np.mean(turned < 0) == pytest.approx(0.5, abs=0.1)
    steps = RandAugment(RandAugment.Config(operations=3, magnitude=30), ()).plan(2000, (32, 48), rng, now)
    assert len(steps) == 3
    assert set(np.abs(steps[1][1][steps[1][0] == "Rotate"])) == {30.0}
    assert set(np.abs(steps[2][1][steps[2][0] == "TranslateX"]).round(3)) == {round(150 / 331 * 48, 3)}
    half = RandAugment(RandAugment.Config(magnitude=30, ramp=0.5), ())
    (first, _) = half.plan(500, (32, 48), rng, Progress(training=0.25))
    assert set(np.abs(first[1][first[0] == "Rotate"])) == {15.0}
    pairs = v2.AutoAugment()._policies
    found = AutoAugment(AutoAugment.Config(), ()).plan(20_000, (32, 48), rng, now)
    for step in (0, 1):
        for name in ("Rotate", "Color", "Equalize", "Invert"):
            expected = np.mean([pair[step][1] if pair[step][0] == name else 0.0 for pair in pairs])
            assert np.mean(found[step][0] == name) == pytest.approx(expected, abs=0.012)
    colours = np.unique(np.abs(found[0][1][found[0][0] == "Color"]).round(4))
    bins = {round(0.1 * pair[0][2], 4) for pair in pairs if pair[0][0] == "Color"}
    assert set(colours) == bins


@pytest.mark.parametrize(
    "kind", ["randaugment", "trivialaugment", "autoaugment", "elastic", "perspective", "spec_augment"]
)
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000), count=st.integers(1, 4), height=st.integers(4, 33), width=st.integers(4, 33)
)
def test_any_size_and_batch_and_labels_stay(
    kind: str, seed: int, count: int, height: int, width: int
) -> None:
    batch = places(count, height, width)
    found = apply(kind, batch, seed, model=MODEL)
    assert found.images.shape == batch.images.shape
    assert bool(found.images.isfinite().all())
    assert torch.equal(found.targets, batch.targets)
    assert torch.equal(found.has_mask, batch.has_mask)
    again = apply(kind, batch, seed, model=MODEL)
    assert torch.equal(found.images, again.images)
    assert torch.equal(found.masks, again.masks)


@pytest.mark.parametrize(("kind", "options"), [("elastic", {"magnitude": 0.05}), ("perspective", {})])
def test_the_mask_moves_with_the_picture(kind: str, options: dict[str, float]) -> None:
    height, width = 40, 52
    disc = ((torch.arange(height)[:, None] - 17) ** 2 + (torch.arange(width) - 30) ** 2 < 100).float()
    batch = places(6, height, width)
    batch = batch.replace(images=disc.repeat(6, 3, 1, 1), masks=disc.repeat(6, 1, 1, 1))
    found = apply(kind, batch, 1, p=1.0, **options)
    assert ((found.images[:, :1] > 0.5) != (found.masks > 0.5)).float().mean() < 0.01
    assert (found.masks != batch.masks).flatten(1).any(dim=1).all()
    still = apply(kind, batch, 1, p=0.0, **options)
    assert torch.equal(still.images, batch.images)
    some = apply(kind, batch.replace(), 1, p=0.5, **options)
    changed = (some.masks != batch.masks).flatten(1).any(dim=1)
    assert 0 < int(changed.sum()) < 6


def test_perspective_is_torchvisions() -> None:
    images = smooth(5).float()
    size = (30, 37)
    start, end = Perspective(Perspective.Config(), ()).corners(5, size, np.random.default_rng(0))
    assert (start[0] == [[0, 0], [36, 0], [36, 29], [0, 29]]).all()
    assert (np.abs(end - start)[:, :, 0] <= 9).all()
    assert (np.abs(end - start)[:, :, 1] <= 7).all()
    there = homography(start, end)
    mapped = np.concatenate([start, np.ones((5, 4, 1))], axis=2) @ there.transpose(0, 2, 1)
    np.testing.assert_allclose(mapped[:, :, :2] / mapped[:, :, 2:], end, atol=1e-6)
    matrices = torch.from_numpy(homography(end, start))
    ours = sampled(images, places_of(tuple(matrices.flatten(1).T), 5, size, images))
    for k in range(5):
        theirs = tv.perspective(
            images[k], start[k].tolist(), end[k].tolist(), interpolation=v2.InterpolationMode.BILINEAR
        )
        torch.testing.assert_close(ours[k], theirs, atol=0.05, rtol=0)


def test_elastic_moves_corners_of_the_grid_and_keeps_the_border() -> None:
    batch = places(3, 49, 49)
    found = apply("elastic", batch, 4, p=1.0, cells=6, magnitude=0.06)
    moved = found.images[:, 1] - batch.images[:, 1]  # the column, in [-1, 1]: how far along x
    assert moved[:, :, 0].abs().max() < 0.03
    assert moved[:, 0].abs().max() < 0.03
    assert float(moved.abs().max()) < 0.06 * 2 + 0.03
    corners = moved[:, 8:48:8, 8:48:8]  # uniform in -0.12 .. 0.12
    assert float(corners.std()) == pytest.approx(0.12 / 3**0.5, rel=0.2)
    between = (moved[:, 16, 16:24:8] + moved[:, 16, 24:32:8]) / 2
    torch.testing.assert_close(moved[:, 16, 20:28:8], between, atol=0.01, rtol=0)


def test_bands_hide_what_their_widths_say() -> None:
    batch = told(3000, 20, 30)
    found = apply("spec_augment", batch, rows=1, columns=0, width=0.5)
    gone = found.images[:, 0] == 0
    assert torch.equal(gone.all(dim=2), gone.any(dim=2))
    widths = gone[:, :, 0].sum(dim=1)
    assert int(widths.max()) == 10
    assert float(widths.float().mean()) == pytest.approx(5, abs=0.15)
    assert torch.equal(found.masks[:, 0] == 0, gone | (batch.masks[:, 0] == 0))
    two = apply("spec_augment", batch, rows=2, columns=2, width=0.5).images[:, 0] == 0
    assert two.float().mean() > 2 * gone.float().mean()


def test_bytes_and_back() -> None:
    images = smooth(3).float()
    normalised = from_bytes(images.clone(), MODEL)
    mean, std = (value.view(1, 3, 1, 1) for value in (MODEL.mean, MODEL.std))
    torch.testing.assert_close(normalised, (images / 255 - mean) / std)
    assert torch.equal(to_bytes(normalised, MODEL), images)
