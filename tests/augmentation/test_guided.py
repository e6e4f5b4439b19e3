"""Guided transforms: against plain versions that look at one picture after the other; the network stays as it was."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from augmentation_helpers import COUNTS, apply, network, places
from foveate.augmentation import TRANSFORMS
from foveate.augmentation.cutmix import draw_box
from foveate.augmentation.guidance import (
    RADII,
    GuidedConfig,
    contrast,
    gradient,
    guide,
    loss_gradient,
    same_class,
)
from foveate.augmentation.parts import AttributeMix
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.experiment import Experiment
from foveate.explanation import explain
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig

GUIDED = (
    "saliencymix", "snapmix", "attentive_cutmix", "keep_augment", "part_swap", "attribute_mix", "puzzle_mix",
    "co_mixup",
)  # fmt: skip
MODEL = network()


def pictures(count: int = 8, height: int = 28, width: int = 35, seed: int = 0) -> Batch:
    """Places and noise, so that pixels tell where they come from, and a bright square in each."""
    batch = places(count, height, width, seed)
    for k in range(count):
        batch.images[k, 2, 3 + k : 9 + k, 20 - k : 27 - k] += 3
    return batch


def drawn(kind: str, seed: int, count: int) -> tuple[float, np.ndarray]:
    """What saliencymix draws: the lambda and the partners."""
    rng = np.random.default_rng(seed)
    rng.random()
    return float(rng.beta(1.0, 1.0)), rng.permutation(count)


@pytest.mark.parametrize("kind", GUIDED)
@pytest.mark.parametrize("explainer", [None, "gradcam", "gradient"])
def test_the_network_is_as_it_was(kind: str, explainer: str | None) -> None:
    model = network().train()
    model.head.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    state = torch.random.get_rng_state()
    found = apply(kind, pictures(), 1, model=model, explainer=explainer)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all((parameter.grad == 1).all() and parameter.requires_grad for parameter in model.parameters())
    again = apply(kind, pictures(), 1, model=model, explainer=explainer)
    assert torch.equal(found.images, again.images)
    assert torch.equal(found.targets, again.targets)
    assert not found.images.requires_grad


@pytest.mark.parametrize("kind", GUIDED)
@pytest.mark.parametrize(("count", "height", "width"), [(1, 17, 23), (3, 32, 19)])
def test_odd_sizes_one_picture_and_no_masks(kind: str, count: int, height: int, width: int) -> None:
    batch = places(count, height, width)
    batch = batch.replace(has_mask=torch.zeros(count).bool(), masks=torch.zeros_like(batch.masks))
    for seed in range(4):
        found = apply(kind, batch, seed, model=MODEL)
        assert bool(found.images.isfinite().all())
        assert not found.has_mask.any()
        assert not found.masks.any()
    assert torch.equal(apply(kind, batch, model=MODEL, p=0.0).images, batch.images)


def test_saliencymix_cuts_around_the_salient_place_of_the_other() -> None:
    batch = pictures()
    maps = contrast(MODEL, batch)
    for seed in range(4):
        kept, partner = drawn("saliencymix", seed, 8)
        found = apply("saliencymix", batch, seed, model=MODEL)
        tall, wide = int(28 * (1 - kept) ** 0.5), int(35 * (1 - kept) ** 0.5)
        for k in range(8):
            other = int(partner[k])
            y, x = divmod(int(maps[other].argmax()), 35)
            expected, mask = batch.images[k].clone(), batch.masks[k].clone()
            rows = slice(max(0, y - tall // 2), max(0, min(28, y - tall // 2 + tall)))
            columns = slice(max(0, x - wide // 2), max(0, min(35, x - wide // 2 + wide)))
            expected[:, rows, columns] = batch.images[other][:, rows, columns]
            mask[:, rows, columns] = batch.masks[other][:, rows, columns]
            torch.testing.assert_close(found.images[k], expected)
            torch.testing.assert_close(found.masks[k], mask)
            area = (rows.stop - rows.start) * (columns.stop - columns.start) / (28 * 35)
            label = torch.eye(3)[batch.targets[k]] * (1 - area) + torch.eye(3)[batch.targets[other]] * area
            torch.testing.assert_close(found.targets[k], label)


def test_contrast_with_squares_around() -> None:
    batch = pictures(2, 20, 23)
    found = contrast(MODEL, batch)
    grey = batch.images.mean(dim=1)
    for k, y, x in ((0, 0, 0), (0, 10, 11), (1, 19, 3)):
        expected = 0.0
        for radius in {round(share * 20) for share in RADII} - {0}:
            square = grey[k, max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
            expected += abs(float(grey[k, y, x] - square.mean()))
        assert float(found[k, y, x]) == pytest.approx(expected, rel=1e-4)
    large = contrast(MODEL, pictures(1, 300, 250))
    assert large.shape == (1, 134, 112)
    assert large.dtype == torch.float32


@pytest.mark.parametrize("explainer", [None, "layercam", "gradient"])
def test_snapmix_weighs_by_the_class_maps(explainer: str | None) -> None:
    batch = pictures(6, 32, 32)
    maps = explain(MODEL, batch.images, batch.targets, explainer or "cam").double()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rng.random()
        own, other = (draw_box(32, 32, rng.beta(5, 5), rng) for _ in range(2))
        partner = rng.permutation(6)
        found = apply("snapmix", batch, seed, model=MODEL, explainer=explainer)
        tall, wide = (part.stop - part.start for part in own)
        for k in range(6):
            shares = [(m - m.min()) / (m - m.min()).sum() for m in (maps[k], maps[partner[k]])]
            left, came = 1 - shares[0][own].sum(), shares[1][other].sum()
            first, second = int(batch.targets[k]), int(batch.targets[partner[k]])
            expected = torch.zeros(3, dtype=torch.float64)
            if first == second:  # both count with the sum
                expected[first] = 2 * (left + came)
            else:
                expected[first], expected[second] = left, came
            torch.testing.assert_close(found.targets[k].double(), expected, atol=2e-5, rtol=0)
            cut = batch.images[partner[k]][:, other[0], other[1]]
            resized = F.interpolate(cut[None], (tall, wide), mode="bilinear", align_corners=True)[0]
            torch.testing.assert_close(found.images[k][:, own[0], own[1]], resized)
            outside = torch.ones(32, 32).bool()
            outside[own] = False
            assert torch.equal(found.images[k][:, outside], batch.images[k][:, outside])


def test_attentive_cutmix_pastes_the_best_cells() -> None:
    batch = pictures(6, 28, 35)
    maps = explain(MODEL, batch.images, batch.targets, "gradcam")
    partner = np.random.default_rng(3)
    partner.random()
    order = partner.permutation(6)
    found = apply("attentive_cutmix", batch, 3, model=MODEL, explainer="gradcam")
    for k in range(6):
        other = int(order[k])
        cells = {
            (r, c): float(maps[other, 4 * r : 4 * r + 4, 5 * c : 5 * c + 5].mean())
            for r in range(7)
            for c in range(7)
        }
        expected = batch.images[k].clone()
        for r, c in sorted(cells, key=lambda cell: -cells[cell])[:6]:
            expected[:, 4 * r : 4 * r + 4, 5 * c : 5 * c + 5] = batch.images[other][
                :, 4 * r : 4 * r + 4, 5 * c : 5 * c + 5
            ]
        torch.testing.assert_close(found.images[k], expected)
        label = torch.eye(3)[batch.targets[k]] * 43 / 49 + torch.eye(3)[batch.targets[other]] * 6 / 49
        torch.testing.assert_close(found.targets[k], label)


@pytest.mark.parametrize("mode", ["cut", "paste"])
def test_keep_augment_spares_what_counts(mode: str) -> None:
    batch = pictures(8, 28, 35)
    maps = explain(MODEL, batch.images, batch.targets, "gradient").double()
    side = round(0.4 * 28)
    scores = [
        np.array(
            [
                [float(m[y : y + side, x : x + side].mean()) for x in range(36 - side)]
                for y in range(29 - side)
            ]
        )
        for m in maps
    ]
    hit = set()
    for seed in range(8):
        found = apply("keep_augment", batch, seed, model=MODEL, mode=mode, magnitude=30)
        assert torch.equal(found.targets, batch.targets)
        for k in range(8):
            same = (found.images[k] == batch.images[k]).all(dim=0)
            if mode == "cut":
                gone = ~same
                y, x = (int(gone.any(dim=dim).nonzero()[0]) for dim in (1, 0))
                assert int(gone.sum()) == side * side
                assert scores[k][y, x] < np.quantile(scores[k], 0.6) + 1e-9
                hit.add((k, y, x))
                assert torch.equal(found.masks[k, 0], torch.where(gone, 0.0, batch.masks[k, 0]))
            else:
                kept = F.avg_pool2d(same.float()[None, None], side, 1)[0, 0].numpy() == 1
                assert (kept & (scores[k] > np.quantile(scores[k], 0.6) - 1e-9)).any()
    assert len(hit) > 30 or mode == "paste"


def test_part_swap_stays_in_the_class() -> None:
    batch = pictures(9, 32, 32)
    maps = explain(MODEL, batch.images, batch.targets, "layercam")
    found = apply("part_swap", batch, 2, model=MODEL, explainer="layercam")
    assert torch.equal(found.targets, batch.targets)
    rng = np.random.default_rng(2)
    rng.random()
    partner = same_class(batch.targets, rng)
    boxes = []
    for m in maps:
        rows, columns = np.nonzero((m > 0.6 * m.max()).numpy())
        boxes.append((rows.min(), rows.max() + 1, columns.min(), columns.max() + 1))
    for k in range(9):
        top, bottom, left, right = boxes[k]
        a, b, c, d = boxes[int(partner[k])]
        outside = torch.ones(32, 32).bool()
        outside[top:bottom, left:right] = False
        assert torch.equal(found.images[k][:, outside], batch.images[k][:, outside])
        # Channel 0 is the row in [-1, 1]: the middle of the part shows the middle of the other's part.
        shown = found.images[k, 0, top:bottom, left:right].mean()
        assert float(shown) == pytest.approx((a + b - 1) / 31 - 1, abs=0.05)
        shown = found.images[k, 1, top:bottom, left:right].mean()
        assert float(shown) == pytest.approx((c + d - 1) / 31 - 1, abs=0.05)


def test_partners_of_one_class_make_rings() -> None:
    labels = torch.tensor([0, 1, 0, 2, 0, 1, 0])
    seen = set()
    for seed in range(20):
        partner = same_class(labels, np.random.default_rng(seed))
        assert torch.equal(labels[partner], labels)
        assert sorted(partner.tolist()) == list(range(7))
        assert int(partner[3]) == 3
        assert all(int(partner[k]) != k for k in (0, 1, 2, 4, 5, 6))
        seen.add(tuple(partner.tolist()))
    assert len(seen) == 6  # rings of four


def test_attributes_are_mined_one_after_the_other() -> None:
    batch = pictures(5, 32, 32)
    transform = AttributeMix(AttributeMix.Config(explainer="gradcam"), COUNTS)
    boxes = transform.mine(MODEL, batch)
    assert boxes.shape == (3, 5, 4)
    assert (boxes[:, :, 2] - boxes[:, :, 0] == 10).all()
    assert (boxes[:, :, 3] - boxes[:, :, 1] == 10).all()
    images, taken = batch.images.clone(), torch.zeros(5, 32, 32).bool()
    for k in range(3):
        maps = explain(MODEL, images, batch.targets, "gradcam").masked_fill(taken, -1)
        for i in range(5):
            y, x = divmod(int(maps[i].argmax()), 32)
            top, left, bottom, right = boxes[k, i].tolist()
            assert top == min(max(y - 5, 0), 22)
            assert left == min(max(x - 5, 0), 22)
            taken[i, top:bottom, left:right] = True
            images[i, :, top:bottom, left:right] = 0
    found = apply("attribute_mix", batch, 0, model=MODEL, explainer="gradcam")
    torch.testing.assert_close(found.targets.sum(1), torch.ones(5))
    mixed = found.targets.amax(1)
    torch.testing.assert_close(mixed[mixed < 1], torch.full_like(mixed[mixed < 1], 1 - 100 / 1024))


def test_the_gradient_of_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = pictures(4, 32, 32).replace(images=torch.randn(4, 3, 32, 32, generator=generator))
    found = loss_gradient(MODEL, batch)
    MODEL.eval()
    for k in range(4):
        pixels = batch.images[k : k + 1].clone().requires_grad_()
        loss = F.cross_entropy(MODEL(pixels).logits, batch.targets[k : k + 1])
        (gradient,) = torch.autograd.grad(loss, pixels)
        torch.testing.assert_close(found[k], gradient[0].square().mean(0).sqrt(), rtol=1e-3, atol=1e-7)
    MODEL.train()


@pytest.mark.parametrize("explainer", [None, "gradcam++", "scorecam", "lrp"])
def test_the_map_is_that_of_the_network_as_it_is_after_each_step(explainer: str | None) -> None:
    """BatchNorms are folded meanwhile; their statistics and weights move from step to step."""
    model = build_network(
        ModelConfig(backbone="resnet18", weights="none"), classes=3, size=32, seed=0
    ).train()
    config, batch = GuidedConfig(explainer=explainer), pictures(4, 32, 32)
    generator = torch.Generator().manual_seed(0)
    maps = []
    for _ in range(2):
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point():
                value.data.mul_(torch.rand(value.shape, generator=generator) * 0.4 + 0.8)
        found = guide(config, gradient, model, batch)
        wanted = explain(model, batch.images, batch.labels, explainer or "gradient")
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
        maps.append(found)
    assert not torch.allclose(*maps, atol=1e-3)


def test_explained_at_half_the_size_and_other_heads() -> None:
    half = apply("snapmix", pictures(4, 32, 32), model=MODEL, explainer="gradcam", resolution=0.5)
    full = apply("snapmix", pictures(4, 32, 32), model=MODEL, explainer="gradcam")
    assert torch.equal(half.images, full.images)
    assert not torch.equal(half.targets, full.targets)
    deep = build_network(
        ModelConfig(backbone="foveate_small_cnn", weights="none", head={"kind": "deep", "widths": [8]}),
        classes=3, size=32, seed=0,
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"resolution of 0\.1 leaves 3 x 3 of 32 x 32 pixels"):
        apply("snapmix", pictures(4, 32, 32), model=MODEL, explainer="gradcam", resolution=0.1)
    with pytest.raises(ConfigError, match="CAM"):
        apply("snapmix", pictures(4, 32, 32), model=deep)
    assert apply("snapmix", pictures(4, 32, 32), model=deep, explainer="gradcam").targets.shape == (4, 3)


def test_an_unknown_explainer_is_refused_before_training() -> None:
    for kind in GUIDED:
        with pytest.raises(ConfigError, match="no explanation method 'gradcan'; did you mean gradcam"):
            Experiment.from_dict({"transforms": [{"kind": kind, "explainer": "gradcan"}]})
    with pytest.raises(ConfigError, match="50 cells of a grid of 7 x 7"):
        Experiment.from_dict({"transforms": [{"kind": "attentive_cutmix", "cells": 50}]})
    assert set(GUIDED) < set(TRANSFORMS)
