"""Objects cut and pasted: places, edges, masks, labels; Poisson blending against a sparse solver."""

import numpy as np
import pytest
import torch
from scipy.sparse import lil_array
from scipy.sparse.linalg import spsolve

from augmentation_helpers import apply, network
from foveate.augmentation.background_swap import without_object
from foveate.augmentation.objects import poisson, pose, softened, somewhere
from foveate.augmentation.warp import affine
from foveate.data.batch import Batch

MODEL = network()


def objects(count: int = 8, height: int = 40, width: int = 48) -> Batch:
    """Discs of the value k + 1 before 0; every fourth picture has no mask."""
    y, x = torch.arange(height)[:, None], torch.arange(width)
    discs = torch.stack([((y - 14 - k) ** 2 + (x - 20 - k) ** 2 < 64).float() for k in range(count)])[:, None]
    value = torch.arange(1, count + 1, dtype=torch.float32).view(-1, 1, 1, 1)
    has_mask = torch.arange(count) % 4 != 3
    masks = discs * has_mask.view(-1, 1, 1, 1)
    return Batch(
        (discs * value).repeat(1, 3, 1, 1), torch.arange(count) % 2, masks, has_mask, torch.arange(count)
    )


def test_a_pose_puts_the_object_where_it_is_wanted() -> None:
    batch = objects(3)
    centre = torch.tensor([[10.0, 12.0], [25.0, 30.0], [20.0, 20.0]])
    side = torch.tensor([8.0, 16.0, 22.0])
    found = affine(batch.masks, pose(batch.masks, centre, side, torch.tensor([0.0, 90.0, 33.0])))
    y, x = torch.arange(40)[:, None] + 0.5, torch.arange(48) + 0.5
    for k in range(3):
        area = float(found[k].sum())
        assert float((found[k, 0] * y).sum()) / area == pytest.approx(float(centre[k, 0]), abs=0.2)
        assert float((found[k, 0] * x).sum()) / area == pytest.approx(float(centre[k, 1]), abs=0.2)
        assert area == pytest.approx(float(batch.masks[k].sum()) * (float(side[k]) / 15) ** 2, rel=0.06)
    bar = torch.zeros(1, 1, 40, 48)
    bar[:, :, 19:21, 10:38] = 1
    turned = affine(bar, pose(bar, torch.tensor([[20.0, 24.0]]), torch.tensor([28.0]), torch.tensor([90.0])))
    assert float(turned[0, 0, 8:32, 24].mean()) > 0.9
    assert float(turned[0, 0, 20, :18].mean()) < 0.05


def test_objects_lie_where_truncation_allows() -> None:
    masks = objects(1).masks.repeat(500, 1, 1, 1)
    found = affine(masks, somewhere(np.random.default_rng(0), masks, (0.4, 0.4), 0.25, 0.0))
    whole = float(masks[0].sum()) * (16 / 15) ** 2
    left = found.sum(dim=(1, 2, 3)) / whole
    assert float(left.min()) > 0.55  # a quarter of the height and of the width
    assert float(left.max()) < 1.06
    assert float((left < 0.95).float().mean()) > 0.1
    inside = affine(masks, somewhere(np.random.default_rng(0), masks, (0.4, 0.4), 0.0, 0.0))
    assert float((inside.sum(dim=(1, 2, 3)) / whole).min()) > 0.93


def test_poisson_blending_by_a_sparse_solver() -> None:
    generator = torch.Generator().manual_seed(0)
    behind, shown = (torch.rand(2, 3, 9, 11, generator=generator).double() for _ in range(2))
    inside = torch.zeros(2, 1, 9, 11).bool()
    inside[0, :, 2:6, 3:8] = True
    inside[1, :, 0:4, 0:5] = True
    found = poisson(behind, shown, inside)
    for k in range(2):
        steps, wanted = [], []
        for y in range(9):
            for x in range(11):
                for v, u in ((y + 1, x), (y, x + 1)):
                    if v < 9 and u < 11:
                        both = bool(inside[k, 0, y, x] and inside[k, 0, v, u])
                        source = shown if both else behind
                        steps.append((y * 11 + x, v * 11 + u))
                        wanted.append((source[k, :, v, u] - source[k, :, y, x]).numpy())
        matrix, right = lil_array((99, 99)), np.zeros((99, 3))
        for (a, b), step in zip(steps, wanted, strict=True):
            for p, q, sign in ((a, b, -1), (b, a, 1)):
                matrix[p, p] += 1
                matrix[p, q] -= 1
                right[p] += sign * step
        for y in range(9):
            for x in range(11):
                if y in (0, 8) or x in (0, 10):
                    row = y * 11 + x
                    matrix[[row]] = 0
                    matrix[row, row] = 1
                    right[row] = behind[k, :, y, x].numpy()
        expected = spsolve(matrix.tocsr(), right).T.reshape(3, 9, 11)
        np.testing.assert_allclose(found[k].numpy(), expected, atol=1e-9)


def test_poisson_blending_keeps_the_steps_of_the_object_and_not_its_colour() -> None:
    behind = torch.full((1, 3, 40, 40), 5.0)
    texture = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    inside = torch.zeros(1, 1, 40, 40).bool()
    inside[:, :, 12:28, 12:28] = True
    found = poisson(behind, texture, inside)
    torch.testing.assert_close(poisson(behind, behind + 3, inside), behind, atol=1e-4, rtol=0)
    part = (slice(None), slice(None), slice(13, 27), slice(13, 27))
    steps = found[part].diff(dim=3), texture[part].diff(dim=3)
    assert np.corrcoef(steps[0].flatten(), steps[1].flatten())[0, 1] > 0.99
    assert float(found[part].mean()) == pytest.approx(5.0, abs=0.1)


def test_soft_edges() -> None:
    masks = objects(2).masks
    found = softened(masks)
    assert float(found.sum()) == pytest.approx(float(masks.sum()), rel=1e-3)
    assert float(found[0, 0, 14, 20]) == pytest.approx(1, abs=1e-3)
    assert 0.3 < float(found[0, 0, 14, 28]) < 0.7


def test_objects_on_other_backgrounds() -> None:
    batch = objects()
    for blend in ("none", "gaussian"):
        found = apply("cut_paste", batch, 1, p=1.0, occlusion=0.0, blends=(blend,), degrees=0.0)
        assert torch.equal(found.targets, batch.targets)
        for k in range(8):
            if not batch.has_mask[k]:
                assert torch.equal(found.images[k], batch.images[k])
                continue
            # Backgrounds are 0 once their discs are painted out, so the picture is its object alone.
            mask, value = found.masks[k, 0], found.images[k, 0]
            reach = mask if blend == "none" else softened(found.masks[k : k + 1])[0, 0]
            if blend == "none":
                whole = value[mask > 0.999]
                torch.testing.assert_close(whole, torch.full_like(whole, k + 1.0), atol=0.02, rtol=0)
            assert float(value[reach < 1e-6].abs().max()) < 1e-4
            assert float(value.max()) <= k + 1 + 1e-4
            assert 20 < float(mask.sum()) < 600
    assert torch.equal(found.has_mask, batch.has_mask)
    again = apply("cut_paste", batch, 1, p=1.0, occlusion=0.0, blends=("gaussian",), degrees=0.0)
    assert torch.equal(found.images, again.images)


def test_what_lies_over_an_object_is_not_in_its_mask() -> None:
    batch = objects()
    covered = 0
    for seed in range(10):
        options = {"p": 1.0, "blends": ("none",), "degrees": 0.0, "scale": (0.6, 0.6)}
        free = apply("cut_paste", batch, seed, occlusion=0.0, **options)
        found = apply("cut_paste", batch, seed, occlusion=1.0, hidden=0.4, **options)
        for k in range(8):
            gone = (free.masks[k] > 0.5) & (found.masks[k] < 0.5)
            share = float((free.masks[k] - found.masks[k]).sum() / free.masks[k].sum().clamp(min=1))
            assert share < 0.4 + 1e-4
            if bool(gone.any()):
                covered += 1
                value = found.images[k, 0][gone[0]]
                assert float((value - k - 1).abs().median()) > 0.4  # another disc is seen there
    assert covered > 10


def test_context_pastes_objects_of_the_class() -> None:
    batch = objects()
    found = apply("context_paste", batch, 3, model=MODEL, p=1.0, blends=("none",), scale=(1.0, 1.0))
    assert torch.equal(found.targets, batch.targets)
    assert torch.equal(found.has_mask, batch.has_mask)
    changed = (found.images != batch.images).flatten(1).any(dim=1)
    assert not changed[~batch.has_mask].any()
    assert int(changed.sum()) >= 4
    for k in range(8):
        assert bool((found.masks[k] >= batch.masks[k]).all())
        new = (found.masks[k, 0] > 0.99) & (batch.masks[k, 0] < 0.5)
        values = found.images[k, 0][new].round().unique()
        for value in values.tolist():
            assert value == 0 or (int(value) - 1) % 2 == k % 2  # of the same class
    empty = batch.replace(images=without_object(batch.images, batch.masks))
    assert float(empty.images[0].abs().max()) < 0.2


@pytest.mark.parametrize("kind", ["cut_paste", "context_paste"])
def test_no_masks_one_picture_odd_sizes(kind: str) -> None:
    batch = objects(1, 41, 33)
    found = apply(kind, batch, 0, model=MODEL, p=1.0)
    assert bool(found.images.isfinite().all())
    nothing = batch.replace(has_mask=torch.zeros(1).bool(), masks=torch.zeros(1, 1, 41, 33))
    assert torch.equal(apply(kind, nothing, 0, model=MODEL, p=1.0).images, batch.images)
    blank = batch.replace(masks=torch.zeros(1, 1, 41, 33))
    assert torch.equal(apply(kind, blank, 0, model=MODEL, p=1.0).images, batch.images)
    several = objects(5, 37, 45)
    assert torch.equal(apply(kind, several, 0, model=MODEL, p=0.0).images, several.images)
