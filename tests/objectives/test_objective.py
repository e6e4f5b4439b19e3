"""The objective: terms and weights kept apart, names, parts left out."""

from typing import Any

import pytest
import torch

from foveate.core.errors import ConfigError
from foveate.objectives import Objective, Progress, objective
from foveate.objectives.classification import CrossEntropy, Focal, Huber
from foveate.objectives.spatial import SpatialMSE
from objective_helpers import CONTEXT, Projection, class_map, scene


def test_it_weighs_terms_and_keeps_them_apart() -> None:
    config = {
        "a": CrossEntropy.Config(weight=2.0),
        "b": Huber.Config(weight=0.5),
        "c": Focal.Config(weight=0.0),
    }
    whole = Objective(config, CONTEXT)
    output, batch = scene()
    terms = whole(output, batch, Progress())
    assert list(terms) == list(whole.names) == ["a", "b", "c"]
    weighed = whole.weigh(terms, output, Progress())
    assert weighed.weights == {"a": 2.0, "b": 0.5, "c": 0.0}
    assert weighed.total.item() == pytest.approx(2 * terms["a"].item() + 0.5 * terms["b"].item(), rel=1e-6)
    assert not whole.moves
    assert list(whole.parameters()) == []
    assert whole.state_dict() == {}


def test_all_weights_0_at_this_moment_is_a_loss_of_0_with_a_graph() -> None:
    ramp = {"kind": "linear", "from": 0, "to": 1}
    whole = Objective({"a": CrossEntropy.Config(weighting=ramp)}, CONTEXT)
    output, batch = scene()
    total = whole.weigh(whole(output, batch, Progress()), output, Progress()).total
    assert total.item() == 0
    total.backward()


@pytest.mark.parametrize("name", ["accuracy", "loss", "pictures", "weight_spatial", "share_x"])
def test_a_term_cannot_take_a_column_of_the_history(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Objective({name: CrossEntropy.Config()}, CONTEXT)


@pytest.mark.parametrize("name", ["", "a.b"])
def test_a_name_can_be_addressed_with_set(name: str) -> None:
    with pytest.raises(ConfigError, match="without dots"):
        Objective({name: CrossEntropy.Config()}, CONTEXT)


def test_what_terms_ask_for_is_what_the_objective_asks_for() -> None:
    plain = Objective({"a": CrossEntropy.Config()}, CONTEXT)
    assert (plain.taps, plain.differentiates, plain.needs_tap_gradient) == ((), False, False)
    config: dict[str, Any] = {
        "a": CrossEntropy.Config(),
        "type": SpatialMSE.Config(tap="early"),
        "more": SpatialMSE.Config(tap="early"),
        "map": class_map(tap="late"),
    }
    whole = Objective(config, CONTEXT)
    assert whole.taps == ("early", "late")
    assert whole.differentiates
    assert whole.needs_tap_gradient
    assert not whole.without(["map"]).differentiates
    assert whole.without(["map"]).names == ("a", "type", "more")
    balanced = {"a": CrossEntropy.Config(), "b": SpatialMSE.Config(weighting="gradient_norm")}
    assert Objective(balanced, CONTEXT).needs_tap_gradient
    assert not Objective(balanced, CONTEXT).differentiates


def test_a_part_shares_its_modules_with_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objective.LOSSES._classes, "projection", Projection)
    config = {
        "a": CrossEntropy.Config(),
        "b": Projection.Config(weighting={"kind": "share"}),
        "c": SpatialMSE.Config(weighting="uncertainty"),
    }
    whole = Objective(config, CONTEXT)
    assert {name for name, _ in whole.named_parameters()} == {
        "parts.b:term.mix",
        "parts.c:weighting.log_variance",
    }
    part = whole.without(["c"])
    output, batch = scene()
    part.weigh(part(output, batch, Progress()), output, Progress())
    assert whole.state_dict()["parts.b:weighting.means"].min() > 0
    assert whole.state_dict().keys() == part.state_dict().keys()
    assert whole.names == ("a", "b", "c")
    copied = Objective(config, CONTEXT)
    copied.load_state_dict(whole.state_dict())
    for name, value in copied.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name])
