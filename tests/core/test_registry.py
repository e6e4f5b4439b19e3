"""One registry for everything that is chosen by kind."""

from typing import Any, Literal

import pytest

from foveate.augmentation import TRANSFORMS
from foveate.core.config import Config, deciding, parse
from foveate.core.errors import ConfigError
from foveate.core.registry import Registry, first_sentence, shared_settings
from foveate.experiment import Experiment
from foveate.experiment.specification import current, merge, put
from foveate.feedback import FEEDBACKS
from foveate.models.heads import HEADS
from foveate.objectives.objective import LOSSES
from foveate.objectives.weighting import WEIGHTINGS
from foveate.pretext import TASKS
from foveate.training.schedules import SCHEDULES

ALL = (LOSSES, WEIGHTINGS, TRANSFORMS, SCHEDULES, HEADS, TASKS, FEEDBACKS)


class Round:
    """A round thing. It has no corners."""

    class Config(Config):
        kind: Literal["test round"] = "test round"
        radius: float = 1.0
        colour: str = "red"

    def __init__(self, config: Any, unit: str) -> None:
        self.words = f"{config.radius:g} {unit}"


class Square(Round):
    """A square thing."""

    class Config(Config):
        kind: Literal["test square"] = "test square"
        colour: str = "red"


THINGS = Registry("thing", Round, Square, formerly="thing")


class Holder(Config):
    thing: THINGS.settings = Square.Config()


def test_it_names_builds_and_lists() -> None:
    assert dict(THINGS) == {"test round": Round, "test square": Square}
    assert THINGS.build(Round.Config(radius=2.0), "cm").words == "2 cm"
    with pytest.raises(ConfigError, match="There is no thing 'flat'; choose one of test round, test square"):
        THINGS.find("flat")
    assert parse(Holder, {"thing": {"kind": "test round", "radius": 3}}, source="x").thing == Round.Config(
        radius=3
    )
    with pytest.raises(ConfigError, match="radius"):
        parse(Holder, {"thing": {"kind": "test square", "radius": 3}}, source="x")


def test_hashes_keep_the_former_name() -> None:
    assert deciding(Round.Config()) == {"thing": "test round", "radius": 1.0, "colour": "red"}


def test_what_every_kind_has_stays_when_another_is_chosen() -> None:
    assert shared_settings("test round") == {"kind", "colour"}
    assert shared_settings("nothing") == set()
    assert shared_settings("focal") == {"kind", "weight", "weighting", "on"}


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.what)
def test_every_kind_says_what_it_is_in_a_sentence(registry: Registry) -> None:
    for kind, entry in registry.items():
        assert 10 < len(first_sentence(entry.__doc__)) < 300, kind
        assert getattr(entry, "Config", entry).model_fields["kind"].default == kind


def test_a_first_sentence() -> None:
    assert first_sentence(Round.__doc__) == "A round thing."
    assert first_sentence("One thing\n    here. Another. ") == "One thing here."
    assert first_sentence("A heading\n\n    Text. More.") == "A heading"
    assert first_sentence(None) == ""


FORMER = {
    "objective": {"look": {"loss": "spatial_mse", "weight": 2.0}, "loss": {"loss": "focal"}},
    "transforms": [{"transform": "mixup", "p": 0.5}],
    "training": {"phases": [{"name": "a", "schedule": {"schedule": "step"}}]},
    "model": {"head": {"name": "deep"}},
}
NOW = {
    "objective": {"look": {"kind": "spatial_mse", "weight": 2.0}, "loss": {"kind": "focal"}},
    "transforms": [{"kind": "mixup", "p": 0.5}],
    "training": {"phases": [{"name": "a", "schedule": {"kind": "step"}}]},
    "model": {"head": {"kind": "deep"}},
}


def test_settings_of_earlier_versions_are_read() -> None:
    assert current(FORMER) == NOW
    assert current(NOW) == NOW
    former = {**FORMER, "objective": {"look": FORMER["objective"]["look"]}}
    now = {**NOW, "objective": {"look": NOW["objective"]["look"]}}
    assert Experiment.from_dict(former) == Experiment.from_dict(now)
    base = Experiment().to_dict()
    assert merge(base, former) == merge(base, now)
    for old, new in (
        ("objective.classification.loss", "objective.classification.kind"),
        ("training.phases.0.schedule.schedule", "training.phases.0.schedule.kind"),
        ("model.head.name", "model.head.kind"),
    ):
        assert put(base, old, "x") == put(base, new, "x")
    assert put(base, "training.phases.0.schedule", "step")["training"]["phases"][0]["schedule"] == "step"
    assert put(base, "training.phases.0.name", "b")["training"]["phases"][0]["name"] == "b"


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"transforms": [{"kind": "mixup", "transform": "cutmix"}]}, "transforms.0: 'transform'"),
        ({"objective": {"look": {"loss": "focal", "kind": "focal"}}}, "objective.look: 'loss'"),
        ({"model": {"head": {"name": "deep", "kind": "deep"}}}, "model.head: 'name'"),
    ],
)
def test_a_kind_given_under_both_names_is_refused(values: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError, match=f"{place} is called 'kind' now and both are given"):
        Experiment.from_dict(values)
