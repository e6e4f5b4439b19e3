"""Last layers on drawn features: their formulas read slowly, scikit-learn, and a shortcut that most pictures share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.preprocessing import StandardScaler

from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.core.rng import numpy_generator
from foveate.last_layer import LAST_LAYERS
from foveate.last_layer.linear import balanced, softmax_regression
from foveate.last_layer.ridge import RidgePath
from foveate.last_layer.selective import PASSES, disagreement
from foveate.last_layer.stored import Given, Head, Stored


def drawn(n: int, tied: float, classes: int = 2, features: int = 6, seed: int = 0) -> Stored:
    """Feature 0 tells the class, feature 1 the attribute, with less noise; both agree in ``tied`` of the pictures."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % classes
    other = (label + rng.integers(1, classes, n)) % classes
    value = np.where(rng.random(n) < tied, label, other)
    points = rng.normal(size=(n, features)) * np.array([0.5, 0.2, *[1.0] * (features - 2)])
    points[:, 0] += 2.0 * label
    points[:, 1] += 2.0 * value
    return Stored(points, label, label * classes + value)


def plain_head(on: Stored) -> Head:
    """What ordinary training leaves: cross-entropy with a little penalty."""
    classes, features = on.labels.max() + 1, on.features.shape[1]
    nothing = Head(np.zeros((classes, features)), np.zeros(classes))
    return softmax_regression(on, np.full(len(on), 1 / len(on)), nothing, 1e-3)


def given(train: Stored, validation: Stored, swapped: Stored | None = None) -> Given:
    return Given(
        plain_head(train), lambda: train, lambda: validation, lambda copies: swapped or train,
        lambda purpose: numpy_generator(7, purpose),
    )  # fmt: skip


def layer(kind: str, **settings: Any) -> Any:
    return LAST_LAYERS[kind](parse(LAST_LAYERS[kind].Config, settings, source="test"))


def worst(head: Head, on: Stored) -> float:
    right = head.logits(on.features).argmax(axis=1) == on.labels
    return min(right[on.subgroups == number].mean() for number in set(on.subgroups.tolist()))


WAYS: dict[str, dict[str, Any]] = {
    "dfr": {"attribute": "place"},
    "afr": {"attribute": "place", "rule": "worst_attribute_validation"},
    "self": {"attribute": "place", "rule": "worst_attribute_validation"},
    "swapped": {},
}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", list(WAYS))
def test_the_worst_subgroup_gains_where_a_minority_breaks_the_rule(kind: str, classes: int) -> None:
    train, validation, test = (drawn(1200, tied, classes, seed=s) for s, tied in enumerate((0.97, 0.9, 0.5)))
    untied = drawn(1200, 1 / classes, classes, seed=9)  # what swapped backgrounds are
    before = given(train, validation, untied)
    head, how = layer(kind, **WAYS[kind]).fit(before)
    assert worst(head, test) > worst(before.first, test) + 0.05, how
    assert "of " in how


def test_without_a_minority_reweighting_cannot_help() -> None:
    train, validation = drawn(800, 1.0), drawn(800, 1.0, seed=1)
    before = given(train, validation)
    test = drawn(2000, 0.5, seed=2)
    for kind in ("dfr", "afr", "self"):
        head, _ = layer(kind, attribute="place").fit(before)
        assert worst(head, test) < 0.75, kind
    head, _ = layer("swapped").fit(given(train, validation, drawn(800, 0.5, seed=9)))
    assert worst(head, test) > 0.9


def test_softmax_regression_has_no_slope_where_it_ends() -> None:
    on = drawn(60, 0.8, classes=3)
    rng = np.random.default_rng(1)
    weights, first = rng.random(60), Head(rng.normal(size=(3, 6)), rng.normal(size=3))
    found = softmax_regression(on, weights, first, 0.05)
    parts = [torch.tensor(value, requires_grad=True) for value in (found.weight, found.bias)]
    logits = torch.from_numpy(on.features) @ parts[0].T + parts[1]
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(on.labels), reduction="none")
    far = (parts[0] - torch.from_numpy(first.weight)).square().sum()
    far = far + (parts[1] - torch.from_numpy(first.bias)).square().sum()
    ((torch.from_numpy(weights) * loss).sum() + 0.05 * far).backward()
    assert all(part.grad.abs().max() < 1e-5 for part in parts)


def test_dfr_is_the_mean_of_lasso_regressions_on_balanced_draws() -> None:
    """Draws that take every picture: the conditions of the minimum of |w|_1 + C sum of the log losses hold."""
    on = drawn(400, 0.5)
    keep = np.concatenate([np.flatnonzero(on.subgroups == number)[:40] for number in range(4)])
    on = on.take(np.sort(keep))
    head, how = layer("dfr", attribute="place", strengths=[0.3], draws=3, pictures="training").fit(
        given(on, on)
    )
    assert how == "C = 0.3, of 1 by the rule 'worst attribute on validation' (" + how[-7:]
    scaler = StandardScaler().fit(on.features)
    x, sign = scaler.transform(on.features), 2.0 * on.labels - 1
    w = (head.weight[1] - head.weight[0]) * scaler.scale_
    b = head.bias[1] - head.bias[0] + (head.weight[1] - head.weight[0]) @ scaler.mean_
    slope = -0.3 * ((sign / (1 + np.exp(sign * (x @ w + b))))[:, None] * x).sum(axis=0)
    live = np.abs(w) > 1e-3
    assert live[0]
    assert not live.all()
    np.testing.assert_allclose(slope[live], -np.sign(w[live]), atol=0.02)
    assert (np.abs(slope[~live]) < 1.02).all()


def test_dfr_draws_of_every_subgroup_as_many_as_the_smallest_has() -> None:
    on = drawn(600, 0.9)
    alone = layer("dfr", attribute="place", strengths=[0.1], draws=1, pictures="training").fit(given(on, on))[
        0
    ]
    smallest = min(np.bincount(on.subgroups))
    rng = numpy_generator(7, "draw 0")
    rows = np.concatenate(
        [rng.permutation(np.flatnonzero(on.subgroups == number))[:smallest] for number in range(4)]
    )
    part, scaler = on.take(rows), StandardScaler().fit(on.features)
    model = LogisticRegression(C=0.1, l1_ratio=1, solver="liblinear", random_state=0, max_iter=1000)
    model.fit(scaler.transform(part.features), part.labels)
    seen = drawn(100, 0.5, seed=4).features
    logits = alone.logits(seen)
    np.testing.assert_allclose(
        logits[:, 1] - logits[:, 0], model.decision_function(scaler.transform(seen)), atol=1e-9
    )


def test_afr_weighs_as_the_formula_says() -> None:
    on = drawn(50, 0.7, classes=3)
    before = given(on, on)
    head, _ = layer("afr", gammas=[3.0], strengths=[0.02], pictures="training").fit(before)
    chance = softmax(before.first.logits(on.features), axis=1)
    weights = np.array(
        [np.exp(-3 * chance[i, c]) / sum(on.labels == c) for i, c in enumerate(on.labels.tolist())]
    )
    expected = softmax_regression(on, weights / weights.sum(), before.first, 0.02)
    np.testing.assert_allclose(head.weight, expected.weight, rtol=1e-6)


def test_self_takes_the_pictures_of_the_largest_divergence() -> None:
    on = drawn(40, 0.7)
    before = given(on, on)
    rng = numpy_generator(7, "dropout")
    total = np.zeros(40)
    for _ in range(PASSES):
        mask = rng.random(on.features.shape) >= 0.6
        q = softmax(before.first.logits(np.where(mask, on.features / 0.4, 0)), axis=1)
        p = softmax(before.first.logits(on.features), axis=1)
        total += (p * np.log(p / q)).sum(axis=1)
    found = disagreement(on.features, before.first, 0.6, numpy_generator(7, "dropout"))
    np.testing.assert_allclose(found, total / PASSES, rtol=1e-9)
    head, how = layer("self", numbers=[10], dropouts=[0.6], pictures="training").fit(before)
    part = on.take(np.argsort(-total, kind="stable")[:10])
    expected = softmax_regression(part, balanced(part.labels), before.first, 0.01)
    np.testing.assert_allclose(head.weight, expected.weight, rtol=1e-6)
    assert how.startswith("pictures = 10, dropout = 0.6")


@pytest.mark.parametrize("features", [6, 90])  # fewer and more than pictures
def test_ridge_is_scikit_learns_for_every_strength(features: int) -> None:
    on = drawn(60, 0.8, classes=3, features=features)
    x, y = StandardScaler().fit_transform(on.features), np.eye(3)[on.labels]
    path = RidgePath(on, 3)
    for strength in (0.1, 10.0, 1000.0):
        expected = SklearnRidge(alpha=strength).fit(x, y).predict(x)
        np.testing.assert_allclose(path.head(strength).logits(on.features), expected, atol=1e-9)
    others = np.arange(60) != 5
    alone = SklearnRidge(alpha=10.0).fit(x[others], y[others]).predict(x[5:6])
    np.testing.assert_allclose(path.left_out(10.0)[5:6], alone, atol=1e-9)
    strengths = [10.0**k for k in range(-1, 5)]
    chosen = RidgeClassifierCV(alphas=strengths).fit(x, on.labels).alpha_
    known = drawn(90, 0.8, classes=3, features=features, seed=5)
    head, how = layer("ridge", rule="leave_one_out", strengths=strengths).fit(given(on, known))
    assert how.startswith(f"alpha = {chosen:g}, of 6 by the rule 'leave one out on training'")

    def likelihood(factor: float) -> float:
        return log_softmax(factor * head.logits(known.features), axis=1)[np.arange(90), known.labels].mean()

    assert likelihood(1.0) > max(likelihood(0.9), likelihood(1.1)), "the temperature is the best one"


def test_ridge_without_a_rule_looks_at_no_validation_picture() -> None:
    on = Stored(np.random.default_rng(0).normal(size=(60, 5)), np.arange(60) % 3, np.full(60, -1))
    heads = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        known = Stored(rng.normal(size=(40, 5)), rng.integers(0, 3, 40), np.full(40, -1))
        ridge = layer("ridge", rule="last_epoch", strengths=(10.0,))
        assert "validation labels" not in ridge.config.consumes()
        heads.append(ridge.fit(given(on, known))[0])
    assert np.array_equal(heads[0].weight, heads[1].weight)


NOBODY = drawn(0, 0.5)
REFUSED: list[tuple[str, dict[str, Any], Callable[[], Given], str]] = [
    ("dfr", {}, lambda: given(drawn(20, 0.5), NOBODY), "needs an attribute of the pictures; set last_layer.attribute"),
    ("afr", {"rule": "worst_attribute_validation"}, lambda: given(drawn(20, 0.5), NOBODY), "needs an attribute"),
    ("afr", {"rule": "leave_one_out"}, lambda: given(drawn(20, 0.5), NOBODY), "cannot leave pictures out"),
    ("afr", {}, lambda: given(drawn(20, 0.5), NOBODY), "needs labelled validation pictures, and there are none"),
    ("afr", {"rule": "last_epoch"}, lambda: given(drawn(20, 0.5), drawn(20, 0.5)), "has 15 candidates and the rule"),
    (
        "dfr", {"attribute": "place"},
        lambda: given(drawn(20, 0.5), Stored(np.ones((9, 6)), np.arange(9) % 2, np.full(9, -1))),
        "needs validation pictures of every class whose attribute 'place' is known",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "settings", "what", "message"), REFUSED)
def test_what_cannot_be_done_is_said(
    kind: str, settings: dict[str, Any], what: Callable[[], Given], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        layer(kind, **settings).fit(what())
