"""Weightings: ramps by their formula, shares and gradient norms by hand, uncertainty against its optimum."""

import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.experiment.specification import Experiment, assign, merge
from foveate.models.output import Output
from foveate.objectives import Objective, Progress
from foveate.objectives.classification import CrossEntropy, Focal
from foveate.objectives.spatial import SpatialMSE
from foveate.objectives.term import TermConfig
from objective_helpers import CONTEXT, class_map, scene


def two(weighting: Any, weight: float = 1.0, **more: TermConfig) -> Objective:
    """Cross-entropy, and a spatial term "s" with this weighting."""
    config = {"a": CrossEntropy.Config(), "s": SpatialMSE.Config(weight=weight, weighting=weighting), **more}
    return Objective(config, CONTEXT)


def values(**terms: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value, requires_grad=True) for name, value in terms.items()}


def blind(whole: Objective) -> Output:
    """An output for terms whose values the test makes up."""
    return Output(torch.zeros(2, 3), taps=dict.fromkeys(whole.taps, torch.zeros(2, 1, 2, 2)))


# -- ramps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("over", ["training", "phase"])
@settings(max_examples=40, deadline=None)
@given(
    points=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    ends=st.tuples(st.floats(0, 5), st.floats(0, 5)),
    place=st.floats(0, 1),
)
def test_ramps_by_their_formula(
    kind: str, over: str, points: tuple[float, float], ends: tuple[float, float], place: float
) -> None:
    start, end = sorted(points)
    ramp = {"kind": kind, "from": ends[0], "to": ends[1], "start": start, "end": end, "over": over}
    whole = two(ramp, weight=3.0)
    progress = Progress(
        4, share=place if over == "phase" else 0.77, training=place if over == "training" else 0.11
    )
    found = whole.weigh(values(a=1.0, s=1.0), blind(whole), progress).weights["s"]
    if place <= start < end:
        expected = ends[0]
    elif place >= end:
        expected = ends[1]
    else:
        t = (place - start) / (end - start) if end > start else 0.0
        t = t if kind == "linear" else 0.5 - 0.5 * math.cos(math.pi * t)
        expected = ends[0] * (1 - t) + ends[1] * t
    assert float(found) == pytest.approx(3.0 * expected, abs=1e-9)


def test_a_ramp_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ConfigError, match="before its start"):
        parse(
            SpatialMSE.Config, {"weighting": {"kind": "linear", "start": 0.5, "end": 0.2}}, source="the test"
        )


# -- share -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_is_kept_while_one_loss_falls_and_the_other_stays(share: float) -> None:
    whole = two({"kind": "share", "share": share})
    g = torch.Generator().manual_seed(1)
    sums = torch.zeros(2)
    for step in range(400):
        noise = torch.rand(2, generator=g) * 0.4 + 0.8
        terms = values(a=2.0 * math.exp(-step / 60) * float(noise[0]), s=0.2 * float(noise[1]))
        weighed = whole.weigh(terms, blind(whole), Progress())
        parts = torch.tensor([float(weighed.weights[name]) * terms[name].item() for name in "as"])
        assert weighed.total.item() == pytest.approx(parts.sum().item(), rel=1e-5)
        sums += parts
        if step % 50 == 49:
            assert sums[1] / sums.sum() == pytest.approx(share, abs=0.03 + 0.15 * share)
            sums = torch.zeros(2)
    # With a weight of 1 the share would have grown beyond all bounds: 0.2 of 0.2 + 2 exp(-400 / 60).
    assert 0.2 / (0.2 + 2 * math.exp(-400 / 60)) > 0.98


def test_the_first_step_has_the_share_exactly() -> None:
    whole = two({"kind": "share", "share": 0.25, "smoothing": 0.99})
    weight = whole.weigh(values(a=1.5, s=0.05), blind(whole), Progress()).weights["s"]
    assert float(weight) == pytest.approx(0.25 / 0.75 * 1.5 / 0.05)


def test_several_shares_are_solved_together() -> None:
    share = {"kind": "share", "smoothing": 0.0}
    third = SpatialMSE.Config(weighting={**share, "share": 0.5})
    whole = two({**share, "share": 0.2}, third=third, b=CrossEntropy.Config(weight=3.0))
    terms = values(a=1.3, s=0.04, third=7.0, b=0.2)
    weights = whole.weigh(terms, blind(whole), Progress()).weights
    parts = {name: float(weights[name]) * value.item() for name, value in terms.items()}
    total = sum(parts.values())
    assert parts["s"] / total == pytest.approx(0.2, rel=1e-5)
    assert parts["third"] / total == pytest.approx(0.5, rel=1e-5)
    assert parts["b"] == pytest.approx(0.6)


def test_smoothing_is_the_ratio_of_two_corrected_averages() -> None:
    whole = two({"kind": "share", "share": 0.3, "smoothing": 0.8})
    pairs = [(2.0, 0.1), (1.0, 0.3), (0.5, 0.2), (3.0, 0.05)]
    for number, (a, s) in enumerate(pairs, start=1):
        found = float(whole.weigh(values(a=a, s=s), blind(whole), Progress()).weights["s"])
        powers = [0.8 ** (number - 1 - i) for i in range(number)]
        mean = [
            sum(p * pair[k] for p, pair in zip(powers, pairs, strict=False)) / sum(powers) for k in (0, 1)
        ]
        assert found == pytest.approx(0.3 / 0.7 * mean[0] / mean[1], rel=1e-5)


def test_max_bounds_the_weight_and_weight_multiplies_it() -> None:
    whole = two({"kind": "share", "share": 0.5, "max": 4.0}, weight=2.0)
    assert float(whole.weigh(values(a=1.0, s=1e-6), blind(whole), Progress()).weights["s"]) == pytest.approx(
        8.0
    )


def test_batches_without_masks_count_for_nothing() -> None:
    whole = two({"kind": "share", "share": 0.2, "smoothing": 0.5})
    assert float(whole.weigh(values(a=1.0, s=0.0), blind(whole), Progress()).weights["s"]) == 1.0
    first = whole.weigh(values(a=1.0, s=0.1), blind(whole), Progress()).weights["s"]
    again = whole.weigh(values(a=9.0, s=0.0), blind(whole), Progress()).weights["s"]
    assert float(first) == float(again) == pytest.approx(2.5)


def test_eval_mode_uses_the_weights_and_leaves_them() -> None:
    whole = two({"kind": "share", "share": 0.2})
    before = whole.weigh(values(a=1.0, s=0.1), blind(whole), Progress()).weights["s"]
    state = copy.deepcopy(whole.state_dict())
    after = whole.eval().weigh(values(a=7.0, s=0.3), blind(whole), Progress()).weights["s"]
    assert float(before) == float(after)
    assert all(torch.equal(value, state[name]) for name, value in whole.state_dict().items())


def test_impossible_shares_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"come to 1\.1"):
        two(
            {"kind": "share", "share": 0.6}, more=SpatialMSE.Config(weighting={"kind": "share", "share": 0.5})
        )
    with pytest.raises(ConfigError, match="another weighting"):
        Objective({"a": CrossEntropy.Config(weighting={"kind": "share"})}, CONTEXT)


# -- gradient norm ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [SpatialMSE.Config, class_map])
def test_gradient_norm_by_hand(loss: Any) -> None:
    config = {
        "a": CrossEntropy.Config(weight=0.7),
        "f": Focal.Config(weight=0.2),
        "s": loss(weight=3.0, weighting={"kind": "gradient_norm", "ratio": 0.4, "smoothing": 0.0}),
    }
    whole = Objective(config, CONTEXT)
    output, batch = scene()
    terms = whole(output, batch, Progress())
    found = float(whole.weigh(terms, output, Progress()).weights["s"])

    def gradient(value: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(value, output.taps["late"], retain_graph=True)[0]

    reference = gradient(0.7 * terms["a"] + 0.2 * terms["f"]).norm()
    assert found == pytest.approx(3.0 * float(0.4 * reference / gradient(terms["s"]).norm()), rel=1e-4)
    weighted = gradient(found / 3.0 * terms["s"]).norm()
    assert float(weighted / reference) == pytest.approx(0.4, rel=1e-4)


def test_gradient_norm_needs_taps_and_a_classification_term() -> None:
    with pytest.raises(ConfigError, match=r"objective\.b.*looks at none"):
        Objective({"a": CrossEntropy.Config(), "b": Focal.Config(weighting="gradient_norm")}, CONTEXT)
    with pytest.raises(ConfigError, match=r"objective\.s.*needs a classification term"):
        Objective({"s": SpatialMSE.Config(weighting="gradient_norm"), "t": SpatialMSE.Config()}, CONTEXT)


# -- uncertainty -----------------------------------------------------------------------------------------------------


def test_uncertainty_comes_to_its_analytic_optimum() -> None:
    whole = two("uncertainty", weight=0.3, b=Focal.Config(weight=1.0, weighting="uncertainty"))
    optimizer = torch.optim.Adam(whole.parameters(), lr=0.05)
    terms = {"a": torch.tensor(0.9), "s": torch.tensor(0.08), "b": torch.tensor(5.0)}
    first = whole.weigh(terms, blind(whole), Progress())
    assert {n: float(w) for n, w in first.weights.items()} == pytest.approx({"a": 1.0, "s": 0.3, "b": 1.0})
    assert first.total.item() == pytest.approx(0.9 + 0.3 * 0.08 + 5.0)
    for _ in range(400):
        optimizer.zero_grad()
        whole.weigh(terms, blind(whole), Progress()).total.backward()
        optimizer.step()
    last = whole.weigh(terms, blind(whole), Progress())
    # d/ds [w exp(-s) L + s / 2] = 0  <=>  w exp(-s) = 1 / (2 L)
    assert float(last.weights["s"]) == pytest.approx(1 / (2 * 0.08), rel=1e-3)
    assert float(last.weights["b"]) == pytest.approx(1 / (2 * 5.0), rel=1e-3)
    half_s = (math.log(0.3 * 2 * 0.08) + math.log(2 * 5.0)) / 2
    assert last.total.item() == pytest.approx(0.9 + 0.5 + 0.5 + half_s, rel=1e-4)


def test_weight_0_is_measured_only_with_any_weighting() -> None:
    for kind in ("linear", "share", "gradient_norm", "uncertainty"):
        whole = two(kind, weight=0.0)
        weighed = whole.weigh(values(a=1.0, s=4.0), blind(whole), Progress())
        assert (float(weighed.weights["s"]), weighed.total.item()) == (0.0, 1.0)
        assert list(whole.parameters()) == []


# -- settings --------------------------------------------------------------------------------------------------------


def test_settings_go_to_yaml_and_back() -> None:
    spatial = {"kind": "spatial_mse", "weighting": {"kind": "cosine", "from": 1.0, "to": 0.0, "end": 0.5}}
    experiment = Experiment.from_dict({"objective": {"s": spatial}})
    written = experiment.to_dict()["objective"]["s"]["weighting"]
    assert (written["from"], written["to"]) == (1.0, 0.0)
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    assert Experiment.from_dict({"objective": {"s": {"kind": "huber"}}}).to_dict()["objective"]["s"][
        "weighting"
    ] == {"kind": "constant"}


def test_another_kind_replaces_the_settings_of_the_old_one() -> None:
    base = Experiment.from_dict(
        {"objective": {"s": {"kind": "spatial_mse", "weighting": {"kind": "linear", "to": 4.0}}}}
    ).to_dict()
    for changed in (
        assign(assign(base, "objective.s.weighting.kind=share"), "objective.s.weighting.share=0.3"),
        merge(base, {"objective": {"s": {"weighting": {"kind": "share", "share": 0.3}}}}),
    ):
        weighting = Experiment.from_dict(changed).objective["s"].weighting
        assert (weighting.kind, weighting.share) == ("share", 0.3)
    longer = assign(base, "objective.s.weighting.start=0.5")
    assert Experiment.from_dict(longer).objective["s"].weighting.last == 4.0
    other = Experiment.from_dict(assign(base, "objective.s.kind=spatial_energy")).objective["s"]
    assert other.weighting.last == 4.0, "a weighting belongs to every loss"


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ConfigError, match=r"objective\.s.*weighting"):
        Experiment.from_dict({"objective": {"s": {"kind": "huber", "weighting": "shares"}}})
