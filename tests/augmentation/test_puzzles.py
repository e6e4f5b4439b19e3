"""Puzzle Mix and Co-Mixup against slow plain readings: all masks tried, every single exchange tried."""

import copy
import math
from itertools import product

import numpy as np
import pytest
import torch

from augmentation_helpers import apply, network, places
from foveate.augmentation.co_mixup import CoMixup, Terms
from foveate.augmentation.grid_cut import best_levels
from foveate.augmentation.guidance import loss_gradient
from foveate.augmentation.puzzle_mix import (
    PuzzleMix,
    adversarial_noise,
    differences,
    level_costs,
    moved,
    transport,
)

MODEL = network()


def energy(levels: np.ndarray, costs: np.ndarray, across: np.ndarray, down: np.ndarray) -> float:
    """Of one picture, cell by cell."""
    rows, columns = levels.shape
    total = 0.0
    for r, c in product(range(rows), range(columns)):
        total += costs[r, c, int(2 * levels[r, c])]
        if c + 1 < columns:
            total += across[r, c] * (levels[r, c] - levels[r, c + 1]) ** 2
        if r + 1 < rows:
            total += down[r, c] * (levels[r, c] - levels[r + 1, c]) ** 2
    return total


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 5.0])
def test_the_cut_finds_the_best_of_all_masks(strength: float) -> None:
    rng = np.random.default_rng(int(10 * strength))
    costs = rng.random((6, 2, 4, 3))
    across, down = strength * rng.random((6, 2, 3)), strength * rng.random((6, 1, 4))
    found = best_levels(costs, across, down)
    assert set(np.unique(found)) <= {0.0, 0.5, 1.0}
    for k in range(6):
        every = (np.array(levels).reshape(2, 4) for levels in product((0, 0.5, 1), repeat=8))
        best = min(energy(levels, costs[k], across[k], down[k]) for levels in every)
        assert energy(found[k], costs[k], across[k], down[k]) == pytest.approx(best, abs=1e-5)


def test_one_block_has_no_neighbours() -> None:
    costs = np.array([[[[3.0, 1.0, 2.0]]], [[[0.0, 1.0, 2.0]]]])
    assert best_levels(costs, np.zeros((2, 1, 0)), np.zeros((2, 0, 1))).ravel().tolist() == [0.5, 0.0]


def test_what_levels_cost_by_the_formula() -> None:
    own, other = torch.rand(2, 3, 3), torch.rand(2, 3, 3)
    found = level_costs(own, other, 0.3, 0.2)
    for z, chance in ((0.0, 0.7**2), (0.5, 2 * 0.3 * 0.7), (1.0, 0.3**2)):
        expected = (1 - z) * own + z * other - 0.2 * math.log(chance) / 9
        torch.testing.assert_close(found[..., int(2 * z)], expected)
    colours, others = torch.rand(1, 3, 2, 2), torch.rand(1, 3, 2, 2)
    found = differences(colours, others, 3)
    for row in range(2):
        left, right = ([picture[0, :, row, c] for picture in (colours, others)] for c in (0, 1))
        d = [[float((left[a] - right[b]).abs().mean()) for b in (0, 1)] for a in (0, 1)]
        expected = max(0.0, (d[0][1] + d[1][0] - d[0][0] - d[1][1]) / 2)
        assert float(found[0, row, 0]) == pytest.approx(expected, abs=1e-6)
    assert not differences(colours, colours, 2).any()


def plain_transport(salience: np.ndarray, shown: np.ndarray, cost: float) -> list[int]:
    """The rounds in plain Python."""
    side = len(salience)
    cells = list(product(range(side), repeat=2))
    price = {
        (i, j): cost * ((a - c) ** 2 + (b - d) ** 2) / side**2 - salience[a, b] * shown[c, d]
        for i, (a, b) in enumerate(cells)
        for j, (c, d) in enumerate(cells)
    }
    every = range(len(cells))
    for _ in range(side):
        wishes = {i: min(every, key=lambda j: (price[i, j], j)) for i in every}
        winners = {}
        for j in every:
            rivals = [i for i in every if wishes[i] == j]
            if rivals:
                winners[j] = min(rivals, key=lambda i: (price[i, j], i))
                for i in rivals:
                    price[i, j] += i != winners[j]
    return [winners.get(j, j) for j in every]


def test_parts_move_to_where_they_are_shown() -> None:
    rng = np.random.default_rng(0)
    salience = rng.random((4, 4, 4))
    salience /= salience.sum(axis=(1, 2), keepdims=True)
    shown = rng.choice([0.0, 0.5, 1.0], (4, 4, 4))
    for cost in (0.0, 0.1, 0.8):
        found = transport(torch.from_numpy(salience), torch.from_numpy(shown), cost)
        for k in range(4):
            assert found[k].tolist() == plain_transport(salience[k], shown[k], cost)
    still = transport(torch.from_numpy(salience), torch.from_numpy(shown), 100.0)
    assert torch.equal(still, torch.arange(16).expand(4, 16))
    images = torch.rand(2, 3, 8, 12)
    assert torch.equal(moved(images, torch.arange(16).expand(2, 16)), images)
    swapped = torch.arange(16)
    swapped[[0, 15]] = torch.tensor([15, 0])
    found = moved(images, swapped.expand(2, 16))
    assert torch.equal(found[:, :, :2, :3], images[:, :, 6:, 9:])
    assert torch.equal(found[:, :, 6:, 9:], images[:, :, :2, :3])
    assert torch.equal(found[:, :, 2:6], images[:, :, 2:6])


def test_puzzle_mix_is_its_parts() -> None:
    batch = places(6, 32, 32)
    maps = loss_gradient(MODEL, batch)[:, None]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        rng.random()
        blocks, kept, partner = int(rng.choice((2, 4, 8, 16))), rng.beta(1.0, 1.0), rng.permutation(6)
        found = apply("puzzle_mix", batch, seed, model=MODEL, transport=False)
        salience = PuzzleMix.shares(maps, blocks)
        costs = level_costs(salience, salience[partner], kept, 0.2).double().numpy()
        colours = torch.nn.functional.adaptive_avg_pool2d(batch.images * MODEL.std.view(1, 3, 1, 1), blocks)
        weights = [
            (1.2 / 16 / blocks * (1 + 0.5 * differences(colours, colours[partner], dim))).double().numpy()
            for dim in (3, 2)
        ]
        own = torch.from_numpy(best_levels(costs, *weights)).float()
        large = own.repeat_interleave(32 // blocks, 1).repeat_interleave(32 // blocks, 2)[:, None]
        torch.testing.assert_close(found.images, large * batch.images + (1 - large) * batch.images[partner])
        torch.testing.assert_close(found.masks, large * batch.masks + (1 - large) * batch.masks[partner])
        share, one_hot = own.mean(dim=(1, 2))[:, None], torch.eye(3)[batch.targets]
        torch.testing.assert_close(found.targets, share * one_hot + (1 - share) * one_hot[partner])
    shifted = apply("puzzle_mix", batch, 0, model=MODEL, cost=0.0)
    assert not torch.equal(shifted.images, apply("puzzle_mix", batch, 0, model=MODEL, transport=False).images)
    torch.testing.assert_close(shifted.masks[:, 0], shifted.images[:, 2], atol=1e-5, rtol=0)  # moved alike


def plain_cost(chosen: np.ndarray, salience: np.ndarray, prior: np.ndarray, distance: np.ndarray) -> float:
    """Co-Mixup's formula with its default settings."""
    count, cells = chosen.shape
    side = round(cells**0.5)
    total = 0.0
    shares = np.array([[np.mean(row == picture) for picture in range(count)] for row in chosen])
    alike = 0.999 * np.eye(count) + 0.001 * distance
    for j in range(count):
        for i in range(cells):
            total -= salience[chosen[j, i], i] + 0.05 / cells * math.log(prior[j, chosen[j, i]] + 1e-12)
            if i % side + 1 < side:
                total += 0.32 / cells * (chosen[j, i] != chosen[j, i + 1])
            if i + side < cells:
                total += 0.32 / cells * (chosen[j, i] != chosen[j, i + side])
        overlap = sum(shares[k] @ alike @ shares[j] for k in range(count) if k != j)
        total += max(0.0, overlap - 0.83)
    return total


@pytest.mark.parametrize(("count", "side"), [(2, 2), (5, 3), (8, 2)])
def test_no_single_exchange_makes_mixtures_cheaper(count: int, side: int) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        salience = rng.random((count, side * side)) ** 3
        salience /= salience.sum(axis=1, keepdims=True)
        prior, distance = rng.dirichlet(np.full(count, 2.0), count), rng.random((count, count))
        distance = (distance + distance.T) / 2 * (1 - np.eye(count))
        found = Terms(salience, prior, distance, CoMixup.Config(rounds=30)).solve()
        cost = plain_cost(found, salience, prior, distance)
        start = np.repeat(np.arange(count)[:, None], side * side, axis=1)
        assert cost < plain_cost(start, salience, prior, distance) + 1e-9
        for j, i, other_one in product(range(count), range(side * side), range(count)):
            other = found.copy()
            other[j, i] = other_one
            assert plain_cost(other, salience, prior, distance) > cost - 1e-9
        if count == 2:
            every = (np.array(pick).reshape(2, 4) for pick in product((0, 1), repeat=8))
            best = min(plain_cost(pick, salience, prior, distance) for pick in every)
            assert cost - best < 0.1 * abs(best)


def test_co_mixup_shows_whole_blocks_and_counts_them() -> None:
    batch = places(7, 24, 20)
    value = torch.arange(7.0).view(-1, 1, 1, 1)
    batch = batch.replace(
        images=torch.cat([batch.images[:, :2], value.expand(7, 1, 24, 20)], dim=1),
        has_mask=torch.arange(7) != 2,
    )
    mixed = 0
    for seed in range(4):
        found = apply("co_mixup", batch, seed, model=MODEL, group=4, beta=0.0, eta=0.5)
        torch.testing.assert_close(found.images[:, :2], batch.images[:, :2])  # every block at its place
        whose = found.images[:, 2].long()
        blocks = whose.view(7, 4, 6, 4, 5)
        assert torch.equal(blocks.amin(dim=(2, 4)), blocks.amax(dim=(2, 4)))
        for k in range(7):
            shares = torch.bincount(whose[k].flatten(), minlength=7) / 480
            torch.testing.assert_close(found.targets[k], shares @ torch.eye(3)[batch.targets])
            assert bool(found.has_mask[k]) == (float(shares[2]) == 0)
            mixed += int((shares > 0).sum() > 1)
            row, column = torch.arange(24)[:, None], torch.arange(20)
            torch.testing.assert_close(found.masks[k, 0], batch.masks[whose[k], 0, row, column])
    assert mixed > 10


def test_adversarial_noise_is_small_stays_in_range_and_raises_the_loss() -> None:
    batch, mean, std = places(6, 32, 32), *(value.view(1, 3, 1, 1) for value in (MODEL.mean, MODEL.std))
    batch = batch.replace(images=(batch.images / 2 + 0.5 - mean) / std)  # from black to white
    found = adversarial_noise(MODEL, batch, 4 / 255, np.random.default_rng(0))
    assert float((found * std).abs().max()) <= 4 / 255 + 1e-6
    pixels = (batch.images + found) * std + mean
    assert float(pixels.min()) >= -1e-5
    assert float(pixels.max()) <= 1 + 1e-5
    model = copy.deepcopy(MODEL).eval()
    losses = [
        float(torch.nn.functional.cross_entropy(model(images).logits, batch.targets).detach())
        for images in (batch.images, batch.images + found)
    ]
    assert losses[1] > losses[0]
    plain, noisy = (apply("puzzle_mix", batch, 3, model=MODEL, adversarial=p) for p in (0.0, 1.0))
    assert not torch.equal(plain.images, noisy.images)
    assert float((noisy.images * std + mean).max()) <= 1 + 1e-4
