"""Heads against the formulas of the reports."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.models.card import Card
from foveate.models.heads import HEADS, CosineHead, DeepHead, HeadConfig, LinearHead, MlpHead, build_head
from foveate.models.settings import ModelConfig


def linears(head: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in head.modules() if isinstance(m, nn.Linear)]


@pytest.mark.parametrize(
    ("config", "layers", "dropout"),
    [
        (LinearHead.Config(), [(1280, 15)], [0.2]),
        (DeepHead.Config(), [(1280, 640), (640, 320), (320, 15)], [0.2] * 3),
        (MlpHead.Config(), [(1280, 1024), (1024, 15)], [0.3] * 2),
        (DeepHead.Config(widths=(7,), dropout=0.0), [(1280, 7), (7, 15)], [0.0] * 2),
    ],
)
def test_layers(config: HeadConfig, layers: list[tuple[int, int]], dropout: list[float]) -> None:
    head = build_head(config, 1280, 15, seed=0)
    assert linears(head) == layers
    assert [m.p for m in head.modules() if isinstance(m, nn.Dropout)] == dropout
    assert head(torch.randn(2, 1280)).shape == (2, 15)


@pytest.mark.parametrize("name", HEADS)
def test_weights_depend_on_the_seed_only(name: str) -> None:
    config = HEADS[name].Config()
    first = build_head(config, 6, 3, seed=5).state_dict()
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    again, other = (build_head(config, 6, 3, seed=seed).state_dict() for seed in (5, 6))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_mlp_penalty_is_the_keras_formula() -> None:
    head = build_head(MlpHead.Config(widths=(5,), dropout=0.0), 4, 3, seed=1)
    nn.init.normal_(head.hidden[1].bias)
    x = torch.randn(6, 4)
    logits = head(x)
    weight, bias = (p.detach().double().numpy() for p in (head.hidden[1].weight, head.hidden[1].bias))
    hidden = np.maximum(x.double().numpy() @ weight.T + bias, 0)
    fixed = 1e-5 * np.abs(weight).sum() + 1e-4 * (weight**2).sum() + 1e-4 * (bias**2).sum()
    np.testing.assert_allclose(head.penalty().item(), fixed + 1e-4 * (hidden**2).sum() / 6, rtol=1e-5)
    last = head.classifier.weight.detach().numpy()
    np.testing.assert_allclose(
        logits.detach().numpy(), hidden @ last.T + head.classifier.bias.detach().numpy(), rtol=1e-4, atol=1e-6
    )
    (gradient,) = torch.autograd.grad(head.penalty(), head.hidden[1].bias)
    expected = 2e-4 * bias + 2e-4 * hidden.sum(0) / 6
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-4, atol=1e-8)
    head.eval()(x)
    np.testing.assert_allclose(head.penalty().item(), fixed, rtol=1e-5)


def test_mlp_starts_he_and_glorot_uniform() -> None:
    head = build_head(MlpHead.Config(), 512, 8, seed=0)
    for weight, limit in (
        (head.hidden[1].weight, np.sqrt(6 / 512)),
        (head.classifier.weight, np.sqrt(6 / (1024 + 8))),
    ):
        assert 0.98 * limit < weight.abs().max().item() <= limit
        np.testing.assert_allclose(
            weight.std().item(), limit / np.sqrt(3), rtol=0.03
        )  # of a uniform distribution
    assert not head.hidden[1].bias.any()
    assert not head.classifier.bias.any()


def test_mlp_can_be_copied_between_steps() -> None:
    head = build_head(MlpHead.Config(), 4, 3, seed=0)
    head(torch.randn(2, 4))
    twin = copy.deepcopy(head)
    assert isinstance(twin, MlpHead)
    assert head.penalty() > twin.penalty()  # the copy has no activity yet


def test_other_heads_have_no_penalty() -> None:
    for kind in ("linear", "deep", "cosine"):
        assert build_head(HEADS[kind].Config(), 4, 3, seed=0).penalty() is None


def test_cosine_logits_are_scaled_cosines_and_no_length_counts() -> None:
    head = build_head(CosineHead.Config(scale=7.0, dropout=0.0), 4, 3, seed=0)
    x = torch.randn(5, 4)
    found = head(x).detach().numpy()
    weights = head.classifier.weight.detach().numpy()
    for row, picture in enumerate(x.numpy()):
        for label, weight in enumerate(weights):
            cosine = picture @ weight / (np.linalg.norm(picture) * np.linalg.norm(weight))
            assert found[row, label] == pytest.approx(7 * cosine, rel=1e-5, abs=1e-6)
    assert head.classifier.bias is None
    torch.testing.assert_close(head(100 * x), head(x))


def test_a_head_is_named_by_its_kind_or_as_earlier_versions_wrote_it() -> None:
    for value in ("cosine", {"kind": "cosine"}, {"name": "cosine"}):
        assert ModelConfig(head=value).head == CosineHead.Config()
    assert ModelConfig(head={"name": "deep", "widths": [8], "dropout": None}).head == DeepHead.Config(
        widths=(8,)
    )
    assert Card(
        architecture="x", head={"name": "mlp", "widths": None, "dropout": 0.1}
    ).head == MlpHead.Config(dropout=0.1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "liner"}, "'linear', 'deep', 'mlp', 'cosine'"),
        ({"kind": "linear", "widths": (8,)}, "widths"),
        ({"kind": "deep", "widths": (8, 0)}, "must be at least 1"),
        ({"kind": "cosine", "widths": (8,)}, "widths"),
        ({"kind": "cosine", "scale": 0}, "greater than 0"),
    ],
)
def test_impossible_heads_are_refused(values: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(ModelConfig, {"head": values}, source="the test")
