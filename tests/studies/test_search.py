"""The search space: every place exists, every value fits, nothing that is shared can be varied."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.experiment import Experiment
from foveate.recipes import finetune
from foveate.studies.search import Domain, Search, at, label


def search(space: dict[str, Any], **more: Any) -> Search:
    return parse(Search, {"space": space, **more}, source="search.yaml")


BASE = finetune()
LOW_HIGH = {"low": 0.001, "high": 0.1}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"training.phases.1.lrate": LOW_HIGH}, "'training.phases.1' of the experiment holds name, epochs, trainable"),
        ({"training.phases.2.lr": LOW_HIGH}, "'training.phases' of the experiment holds 0, 1"),
        ({"training.phases.-1.lr": LOW_HIGH}, "'training.phases' of the experiment holds 0, 1"),
        ({"trainig.clip": LOW_HIGH}, "the experiment holds data, model, objective"),
        ({"objective.spatial.weight": LOW_HIGH}, "'objective' of the experiment holds classification"),
        ({"training.phases.1.lr.peak": LOW_HIGH}, "'training.phases.1.lr' of the experiment is 0.001, with nothing"),
        ({"training.ema.decay": LOW_HIGH}, "'training.ema' of the experiment is None"),
        ({"seed": {"choices": [0, 1]}}, "cannot be searched: a random seed is no setting"),
        ({"data.split.val": LOW_HIGH}, "cannot be searched: all trials share one split"),
        ({"data.split": {"choices": [{}, {"val": 0.5}]}}, "cannot be searched: all trials share one split"),
        ({"data.layout.group": {"choices": ["part:0", None]}}, "searched: all trials share the same pictures"),
        ({"evaluation.splits": {"choices": [["val"], ["test"]]}}, "cannot be searched: test pictures are not touched"),
        ({"training.clip": {"low": -1.0, "high": 2.0}}, r"space.training.clip cannot be -1.0: .*greater than 0"),
        ({"data.augment.preset": {"choices": ["basic", "x"]}}, "space.data.augment.preset cannot be 'x'"),
        ({"training.batch_size": {"low": 8.0, "high": 32.0}}, "is a whole number .now 32.; low 8.0, high 32.0"),
        ({"training.loader.workers": {"choices": [0, 1]}}, "does not change the result of a run"),
        ({"training.device": {"choices": ["cpu", "cuda"]}}, "does not change the result of a run"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        search(space).check(BASE)


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ({}, "give choices"),
        ({"low": 1}, "low and high"),
        ({"low": 2, "high": 1}, "low 2 must be below high 1"),
        ({"low": 1, "high": 1}, "must be below"),
        ({"low": 0, "high": 1, "log": True}, "log needs a low above 0"),
        ({"low": 1, "high": 9, "log": True, "step": 2}, "no step"),
        ({"low": 5, "high": 30, "step": 4}, r"high 30 is not reached from 5 in steps of 4 \(29 is\)"),
        ({"low": 0.0, "high": 0.1, "step": 0.5}, "is not reached"),
        ({"choices": []}, "at least one"),
        ({"choices": [1, 2, 1]}, "different values"),
        ({"choices": [1], "low": 0}, "either choices, or low and high"),
        ({"low": 1, "high": float("inf")}, "finite"),
        ({"low": 1, "high": 2, "step": 0}, "greater than 0"),
        ({"low": 1, "high": 2, "steps": 1}, "steps"),
    ],
)
def test_ranges_that_make_no_sense_are_refused_by_name(domain: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"search.yaml: space.training.clip.*{message}"):
        search({"training.clip": domain})


def test_an_empty_space_and_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="space"):
        search({})
    with pytest.raises(ConfigError, match=r"sampler.*'tpe', 'random' or 'grid'"):
        search({"seed": {"choices": [1, 2]}}, sampler="bayes")


def test_every_kind_of_setting_reaches_its_place() -> None:
    settings = {
        "training.phases.1.lr": 1.5e-05,
        "training.phases.0.epochs": 7,
        "training.batch_size": "auto",
        "training.ema": None,
        "model.head.kind": "deep",
        "model.head.widths": [64, 32],
        "data.augment": {"preset": "basic"},
        "training.phases.1.schedule": {"kind": "cosine", "warmup_epochs": 2},
        "training.phases.0.schedule": "constant",
        "objective.classification.label_smoothing": 0.2,
        "objective.classification.kind": "focal",
        "training.phases.1.lr_factors.backbone": 1e-3,
        "training.phases.0.name": "1e5: yes #",
    }
    space = {path: {"choices": [value]} for path, value in settings.items()}
    smoothing = settings.pop("objective.classification.label_smoothing")
    found = search(space).experiment_of(BASE, settings, 0)
    training = found.training
    assert (training.phases[1].lr, training.phases[0].epochs, training.batch_size) == (1.5e-05, 7, "auto")
    assert training.ema is None
    assert found.model.head.widths == (64, 32)
    assert found.data.augment.preset == "basic"
    assert training.phases[1].schedule.kind == "cosine"
    assert training.phases[0].schedule.kind == "constant"
    assert found.objective["classification"].kind == "focal"
    assert training.phases[1].lr_factors == {"backbone": 1e-3}
    assert training.phases[0].name == "1e5: yes #"
    values = found.to_dict()
    rest = search(space).experiment_of(BASE, {}, 0)
    assert rest == BASE
    settings["objective.classification.label_smoothing"] = smoothing
    # A setting that focal does not have.
    with pytest.raises(ConfigError, match=r"Trial 4: .*label_smoothing"):
        search(space).experiment_of(BASE, settings, 4)
    assert values["seed"] == BASE.seed


def test_a_kind_is_chosen_before_its_settings() -> None:
    base = Experiment.from_dict({"objective": {"classification": {"kind": "cross_entropy"}}})
    space = {
        "objective.classification.label_smoothing": {"choices": [0.1]},
        "objective.classification.kind": {"choices": ["cross_entropy"]},
    }
    settings = {
        "objective.classification.label_smoothing": 0.1,
        "objective.classification.kind": "cross_entropy",
    }
    assert search(space).experiment_of(base, settings, 0).objective["classification"].label_smoothing == 0.1


def test_seeds() -> None:
    space = {"training.clip": LOW_HIGH}
    assert search(space).experiment_of(BASE, {}, 3).seed == BASE.seed
    each = search(space, seeds="per_trial")
    assert len({each.experiment_of(BASE, {}, n).seed for n in range(50)}) == 50
    assert each.experiment_of(BASE, {}, 3).seed == each.experiment_of(BASE, {}, 3).seed


def test_how_many_trials() -> None:
    space = {
        "training.phases.0.epochs": {"low": 5, "high": 15, "step": 5},
        "training.ema": {"choices": [None, 0.9]},
    }
    assert search(space).count(BASE) == 20
    assert search(space, trials=7).count(BASE) == 7
    assert search(space, sampler="grid").count(BASE) == 6
    assert search(space, sampler="grid", trials=4).count(BASE) == 4
    assert search(space, sampler="grid", trials=40).count(BASE) == 6
    with pytest.raises(ConfigError, match=r"space.training.clip has no step"):
        search({"training.clip": LOW_HIGH}, sampler="grid").check(BASE)
    with pytest.raises(ConfigError, match="The grid has 1000000 points"):
        search({"training.phases.0.epochs": {"low": 1, "high": 10**6}}, sampler="grid").check(BASE)


@given(st.integers(-50, 50), st.integers(1, 30), st.integers(1, 9), st.booleans())
def test_points_of_a_range(low: int, count: int, step: int, whole: bool) -> None:
    factor = 1 if whole else 0.1
    domain = Domain(low=low * factor, high=(low + count * step) * factor, step=step * factor)
    points = domain.points(1 if whole else 0.5)
    assert points is not None
    assert points == pytest.approx([(low + k * step) * factor for k in range(count + 1)])
    assert all(isinstance(point, int if whole else float) for point in points)
    assert (points[0], points[-1]) == pytest.approx(domain.span)


def test_labels_tell_values_apart() -> None:
    values = [None, True, 1, 1.5, "a", [1, 2], {"kind": "cosine"}, "b"]
    assert len({label(value) for value in values}) == len(values)
    assert at(BASE.to_dict(), "training.phases.1.freeze_bn") == "all"
