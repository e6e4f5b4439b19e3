"""The specification: YAML there and back, --set, merge, and messages with paths."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.core.errors import ConfigError
from foveate.core.reading import read_yaml
from foveate.experiment import Experiment
from foveate.experiment.specification import assign, merge
from training_helpers import experiment

HEAD = {"training": {"phases": [{"epochs": 2, "trainable": "head"}]}}


@pytest.mark.parametrize(
    "acting", [{"transforms": [{"kind": "mixup"}]}, {"feedback": [{"kind": "class_sampling"}]}]
)
def test_what_a_last_layer_throws_away_is_refused(acting: dict[str, Any]) -> None:
    probe = {"last_layer": {"kind": "ridge"}}
    with pytest.raises(ConfigError, match="leave transforms and feedback out"):
        Experiment.from_dict(HEAD | probe | acting)
    for fine in (HEAD | acting, HEAD | probe, probe | acting):
        Experiment.from_dict(fine)


def test_a_combination_that_would_never_begin_is_refused() -> None:
    later = {"kind": "combine", "members": [{"kind": "mixup"}]}
    Experiment.from_dict(HEAD | {"transforms": [later | {"start": 1}]})
    with pytest.raises(ConfigError, match="combine starts after 2 epochs, and the phases have 2"):
        Experiment.from_dict(HEAD | {"transforms": [later | {"start": 2}]})
    with pytest.raises(ConfigError, match="combine starts after 5 epochs"):
        Experiment.from_dict(HEAD | {"transforms": [later | {"members": [later | {"start": 5}]}]})


PHASES = st.fixed_dictionaries(
    {
        "name": st.text(
            st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12
        ),
        "epochs": st.integers(1, 500),
        "lr": st.one_of(st.just("auto"), st.floats(1e-8, 1.0)),
        "trainable": st.sampled_from(["all", "head", "from:stages.2"]),
        "freeze_bn": st.sampled_from([True, False, "all"]),
        "schedule": st.sampled_from(["constant", "cosine", "one_cycle", "step", "plateau"]),
    }
)


@settings(max_examples=40, deadline=None)
@given(
    phases=st.lists(PHASES, min_size=1, max_size=3),
    seed=st.integers(0, 2**31),
    ema=st.one_of(st.none(), st.floats(0.1, 0.9999)),
    preset=st.sampled_from(["none", "basic", "standard", "plant"]),
    smoothing=st.floats(0, 0.5),
)
def test_yaml_there_and_back(
    tmp_path_factory: pytest.TempPathFactory, phases: list[Any], seed: int, ema: float | None, preset: str,
    smoothing: float,
) -> None:  # fmt: skip
    one = Experiment.from_dict(
        {
            "data": {"augment": preset},
            "model": {"backbone": "resnet18"},
            "objective": {"c": {"kind": "cross_entropy", "label_smoothing": smoothing}},
            "training": {"phases": phases, "ema": ema},
            "seed": seed,
        }
    )
    file = tmp_path_factory.mktemp("yaml") / "e.yaml"
    file.write_text(one.to_yaml(), encoding="utf-8")
    other = Experiment.from_yaml(file)
    assert other == one
    assert other.hash() == one.hash()
    assert Experiment.from_dict(yaml.safe_load(one.to_yaml())).to_yaml() == one.to_yaml()


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"trainin": {}}, "trainin"),
        ({"training": {"phases": [{"name": "a"}, {"epocs": 3}]}}, r"training\.phases\.1\.epocs"),
        ({"data": {"augment": {"presett": "none"}}}, r"data\.augment\.presett"),
        ({"objective": {"c": {"kind": "cross_entropy", "gamma": 2}}}, r"objective\.c.*gamma"),
        ({"training": {"phases": [{"epochs": 0}]}}, r"training\.phases\.0\.epochs.*\(got 0\)"),
        ({"seed": "many"}, r"seed.*\(got 'many'\)"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(values: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError, match=path) as caught:
        Experiment.from_dict(values, source="my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert "\n" not in str(caught.value)


def test_assign_goes_into_mappings_and_lists() -> None:
    values = experiment().to_dict()
    changed = assign(values, "training.phases.1.lr=3e-4")
    assert changed["training"]["phases"][1]["lr"] in (3e-4, "3e-4")
    assert Experiment.from_dict(changed).training.phases[1].lr == 3e-4
    assert values["training"]["phases"][1]["lr"] == 0.003, "the original is not changed"
    assert assign(values, "training.phases.-1.epochs=9")["training"]["phases"][1]["epochs"] == 9
    assert assign(values, "data.augment.steps=[{kind: hflip}]")["data"]["augment"]["steps"] == [
        {"kind": "hflip"}
    ]
    assert assign(values, "training.phases.0.until.metric=val_loss")["training"]["phases"][0]["until"] == {
        "metric": "val_loss"
    }
    added = assign(assign(values, "transforms.0.kind=mixup"), "transforms.0.alpha=0.3")
    assert Experiment.from_dict(added).to_dict()["transforms"][0]["alpha"] == 0.3
    assert len(assign(added, "transforms.1.kind=cutmix")["transforms"]) == 2
    assert assign(values, "training.ema=null")["training"]["ema"] is None
    assert assign(values, "model.weights=a=b")["model"]["weights"] == "a=b"


@pytest.mark.parametrize(
    "text", ["seed", "=3", "training.phases.7.lr=1", "seed.deep.er=1", "training.phases.first.lr=1"]
)
def test_assign_refuses_what_leads_nowhere(text: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        assign(experiment().to_dict(), text)


def test_another_kind_brings_its_own_settings() -> None:
    term = {"kind": "cross_entropy", "weight": 2.0, "label_smoothing": 0.1}
    values = experiment(objective={"classification": term}).to_dict()
    focal = assign(values, "objective.classification.kind=focal")
    changed = Experiment.from_dict(focal).objective["classification"]
    assert (changed.kind, changed.weight) == ("focal", 2.0)
    assert assign(values, "objective.classification.kind=cross_entropy") == values
    step = Experiment.from_dict(assign(values, "training.phases.1.schedule.kind=step"))
    assert step.training.phases[1].schedule.gamma == 0.1
    whole = Experiment.from_dict(assign(values, "training.phases.1.schedule=cosine"))
    assert whole.training.phases[1].schedule.kind == "cosine"
    assert whole.training.phases[1].lr == 0.003, "a phase has a schedule, it is none"
    file = {"objective": {"classification": {"kind": "focal", "gamma": 1.0}}}
    merged = Experiment.from_dict(merge(values, file)).objective["classification"]
    assert (merged.kind, merged.gamma) == ("focal", 1.0)


def test_merge_lays_mappings_over_each_other_and_replaces_the_rest() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    assert merge(base, {"a": {"c": [9]}, "e": 4}) == {"a": {"b": 1, "c": [9]}, "d": 3, "e": 4}
    assert merge(base, {"a": None}) == {"a": None, "d": 3}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "does not exist"), ("a: [", "not valid YAML"), ("- 1", "holds a list"), ("", "holds nothing")],
)
def test_files_that_hold_no_settings(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "e.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_yaml(tmp_path / "e.yaml")
