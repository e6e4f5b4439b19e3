"""LIME against captum with the same samples; SP-LIME's choice against all choices."""

from itertools import combinations

import captum.attr
import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from explanation_helpers import Tiny, assert_close, pictures, quiet
from foveate.core.errors import ConfigError
from foveate.core.rng import key
from foveate.explanation import explain
from foveate.explanation.probe import Probe
from foveate.explanation.superpixels import pick_pictures, segment_means, superpixels


def test_equal_to_captum_with_the_same_samples() -> None:
    model, image, count = Tiny(), pictures(1, 24), 60
    segments = superpixels(Probe(model), image, 8, 30.0)
    players = int(segments.max()) + 1
    shown = np.random.Generator(np.random.PCG64(key(2, "explanation", "lime"))).random((count, players)) < 0.5
    shown[0] = True
    samples = iter(torch.from_numpy(shown).float())

    def similarity(
        original: torch.Tensor, changed: torch.Tensor, features: torch.Tensor, **_: object
    ) -> float:
        cosine = nn.functional.cosine_similarity(features, torch.ones_like(features), dim=1)
        return float(torch.exp(-((1 - cosine) ** 2) / (2 * 0.25**2)))

    with quiet():
        theirs = captum.attr.Lime(
            model, SkLearnRidge(alpha=1.0), similarity, perturb_func=lambda *_, **__: next(samples)[None]
        ).attribute(image, 0.0, 1, feature_mask=segments[:, None], n_samples=count)
    ours = explain(
        model, image, 1, "lime", raw=True, segments=8, hidden="mean", samples=count, seed=2, precision="float32"
    )  # fmt: skip
    assert_close(ours, theirs[:, 0])


def test_a_score_that_is_linear_in_the_superpixels_is_found() -> None:
    """The mean of the red channel: hiding a superpixel takes away its share of the sum."""

    class Red(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x[:, 0].mean((1, 2)), -x[:, 0].mean((1, 2))], dim=1)

    image = pictures(1, 24)
    found = explain(Red(), image, 0, "lime", raw=True, segments=9, hidden="mean", alpha=0.0, samples=200)[0]
    for number in found.unique():
        inside = found == number
        assert float(image[0, 0][inside].sum() / 24**2) == pytest.approx(float(number), abs=1e-5)


def test_superpixels_are_numbered_without_gaps_and_follow_colours() -> None:
    image = torch.zeros(2, 3, 32, 32)
    image[0, 0, :, :16], image[1, :, 8:24, 8:24] = 2.0, -2.0
    found = superpixels(Probe(Tiny()), image, 8, 1.0)
    for segments in found:
        assert sorted(segments.unique().tolist()) == list(range(int(segments.max()) + 1))
    left, right = (set(side.flatten().tolist()) for side in (found[0, :, :14], found[0, :, 18:]))  # blurred
    assert not left & right
    assert (superpixels(Probe(Tiny()), torch.zeros(1, 3, 16, 16), 1, 10.0) == 0).all()


def test_a_textured_picture_has_about_as_many_superpixels_as_asked_for() -> None:
    texture = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    assert 35 <= int(superpixels(Probe(Tiny()), texture, 50, 30.0).max()) + 1 <= 60


def test_segment_means() -> None:
    image, segments = pictures(1, 8)[0], torch.arange(64).view(8, 8) // 20
    found = segment_means(image, segments)
    for number in range(4):
        inside = segments == number
        expected = image[:, inside].mean(dim=1, keepdim=True).expand(3, int(inside.sum()))
        assert torch.allclose(found[:, inside], expected, atol=1e-6)


tables = st.integers(0, 10**6).map(
    lambda seed: np.random.default_rng(seed).normal(size=(6, 5)) * (np.random.default_rng(seed).random((6, 5)) < 0.4)
)  # fmt: skip


def coverage(table: np.ndarray, chosen: list[int] | tuple[int, ...]) -> float:
    weights = np.sqrt(np.abs(table).sum(axis=0))
    return float(weights[(table[list(chosen)] != 0).any(axis=0)].sum())


@settings(max_examples=80, deadline=None)
@given(table=tables, count=st.integers(1, 6))
def test_choice_of_pictures_against_all_choices(table: np.ndarray, count: int) -> None:
    chosen = pick_pictures(torch.from_numpy(table), count)
    assert len(set(chosen)) == count
    best = max(coverage(table, c) for c in combinations(range(6), count))
    assert coverage(table, chosen) >= (1 - 1 / np.e) * best - 1e-9
    for step in range(count):  # each is the best that could be added
        so_far = chosen[:step]
        gains = [coverage(table, [*so_far, i]) for i in range(6) if i not in so_far]
        assert coverage(table, chosen[: step + 1]) == pytest.approx(max(gains))


def test_only_the_strongest_features_count() -> None:
    table = torch.tensor([[5.0, 0.1, 0.1], [4.0, 0.2, 0.1], [0.1, 3.0, 0.1]])
    assert pick_pictures(table, 2) == [0, 1]  # all cover everything
    assert pick_pictures(table, 2, keep=1) == [0, 2]


@pytest.mark.parametrize("count", [0, 4])
def test_an_impossible_choice_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"count is {count}"):
        pick_pictures(torch.ones(3, 2), count)
    with pytest.raises(ConfigError, match="pictures, features"):
        pick_pictures(torch.ones(3), 1)
