"""Shapley values against captum's exact ones, and gradients on random paths against captum with the same draws."""

from itertools import permutations

import captum.attr
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explanation_helpers import Tiny, assert_close, pictures, quiet
from foveate.explanation import explain
from foveate.explanation.probe import Probe
from foveate.explanation.superpixels import KernelShap, coalitions, superpixels


def test_kernel_shap_equals_captums_exact_values() -> None:
    model, image = Tiny(), pictures(1, 24)
    segments = superpixels(Probe(model), image, 5, 30.0)
    assert 3 <= int(segments.max()) + 1 <= 6  # captum tries all orders
    with quiet():
        exact = captum.attr.ShapleyValues(model).attribute(image, 0.0, 2, feature_mask=segments[:, None])
    ours = explain(model, image, 2, "kernel_shap", raw=True, segments=5, hidden="mean", precision="float32")
    assert_close(ours, exact[:, 0])


class Play:
    """A game of numbers: the value of a coalition is looked up."""

    def __init__(self, players: int, seed: int, additive: bool = False) -> None:
        draws = np.random.default_rng(seed)
        self.players = players
        self.alone = draws.normal(size=players)
        self.table = self.alone if additive else draws.normal(size=2**players)
        self.additive = additive

    def __call__(self, shown: np.ndarray) -> np.ndarray:
        if self.additive:
            return shown @ self.alone + 3
        return self.table[shown @ (2 ** np.arange(self.players))]

    def exact(self) -> np.ndarray:
        """The mean over all orders of what a player adds."""
        values = np.zeros(self.players)
        orders = list(permutations(range(self.players)))
        for order in orders:
            shown = np.zeros(self.players, bool)
            for player in order:
                before = self(shown[None])[0]
                shown[player] = True
                values[player] += self(shown[None])[0] - before
        return values / len(orders)


@settings(max_examples=25, deadline=None)
@given(players=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_all_coalitions_give_the_exact_values(players: int, seed: int) -> None:
    game = Play(players, seed)
    found = KernelShap().values(game, Probe(Tiny()))  # type: ignore[arg-type]
    assert np.allclose(found, game.exact())


@settings(max_examples=15, deadline=None)
@given(players=st.integers(8, 24), seed=st.integers(0, 10**6))
def test_sampled_coalitions_find_an_additive_game_and_always_sum_up(players: int, seed: int) -> None:
    method = KernelShap(samples=200)
    additive = Play(players, seed, additive=True)
    assert np.allclose(method.values(additive, Probe(Tiny())), additive.alone)  # type: ignore[arg-type]
    if players <= 12:
        game = Play(players, seed)
        whole = game(np.array([[True] * players, [False] * players]))
        assert np.isclose(method.values(game, Probe(Tiny())).sum(), whole[0] - whole[1])  # type: ignore[arg-type]


def test_more_samples_come_nearer_to_the_exact_values() -> None:
    game, probe = Play(8, 1), Probe(Tiny())
    exact = KernelShap(samples=254).values(game, probe)  # type: ignore[arg-type]
    errors = [
        np.abs(KernelShap(samples=n).values(game, probe) - exact).mean()  # type: ignore[arg-type]
        for n in (60, 240)
    ]
    assert errors[1] < errors[0]


def test_coalitions_are_drawn_by_the_kernel_in_pairs() -> None:
    shown, weights = coalitions(30, 20000, 0)
    sizes = np.arange(1, 30)
    expected = 1 / (sizes * (30 - sizes))
    found = np.bincount(shown.sum(axis=1), minlength=31)[1:30] / len(shown)
    assert np.abs(found - expected / expected.sum()).max() < 0.01
    assert np.allclose(shown.mean(axis=0), 0.5)
    assert (weights == 1).all()


@pytest.mark.parametrize("count", [1, 7])
def test_gradient_shap_equals_captum_with_the_same_draws(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = Tiny(), pictures(2, 16)
    ours = explain(
        model, images, 1, "gradient_shap", raw=True, samples=count, baseline="mean", seed=4, chunk=3
    )
    times = torch.rand(count, generator=Probe(model, seed=4).generator("gradient_shap")).numpy()
    monkeypatch.setattr(np.random, "uniform", lambda low, high, n: np.tile(times, n // count))
    with quiet():
        theirs = captum.attr.GradientShap(model).attribute(
            images.clone(), 0 * images[:1], n_samples=count, target=1
        )
    assert_close(ours, theirs.sum(dim=1), 1e-5)


def test_gradient_shap_tends_to_the_mean_of_integrated_gradients() -> None:
    model, images = Tiny(), pictures(1, 16)
    many = explain(model, images, 1, "gradient_shap", raw=True, samples=4000, baseline="mean", chunk=500)
    exact = explain(model, images, 1, "integrated_gradients", raw=True, steps=200)
    assert_close(many, exact, 0.05)


def test_noise_of_the_picture_changes_the_values() -> None:
    model, images = Tiny(), pictures(1, 16)
    plain, noisy = (
        explain(model, images, 1, "gradient_shap", raw=True, samples=4, sigma=s) for s in (0.0, 0.3)
    )
    assert not torch.allclose(plain, noisy, rtol=0.01)
