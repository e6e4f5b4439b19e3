"""Guidance by name."""

import re

import pytest

from foveate.core.errors import ConfigError
from foveate.experiment import Experiment
from foveate.recipes import finetune, guidance
from foveate.studies.guides import GUIDES, guides_of, with_guides
from foveate.studies.specification import Study

LOSSES = {
    "spatial": ["spatial_mse"],
    "class-map": ["spatial_energy"],
    "dice": ["spatial_dice"],
    "right-reasons": ["right_reasons"],
    "attention-mining": ["attention_mining", "spatial_mse"],
    "counterfactual": ["counterfactual"],
    "attention-branch": ["spatial_mse"],
    "cut-out": ["spatial_bce"],
}


def test_what_would_overwrite_each_other_is_refused() -> None:
    with pytest.raises(ConfigError, match="both have a term 'look'"):
        guidance("class-map+attention-mining")
    with pytest.raises(ConfigError, match="both have a term 'spatial'"):
        guidance("spatial+spatial")


def test_none_is_plain_cross_entropy() -> None:
    assert guidance("none") == {"objective": {"classification": {"kind": "cross_entropy"}}, "transforms": []}


@pytest.mark.parametrize("name", [*GUIDES, "backgrounds+class-map", "spatial+class-map+backgrounds"])
def test_every_name_is_an_experiment_and_joins(name: str) -> None:
    fields = guidance(name)
    experiment = Experiment.from_dict(
        {**fields, "model": {"backbone": "resnet18", **fields.get("model", {})}}
    )
    losses = {term.kind for term in experiment.objective.values()} - {"cross_entropy"}
    parts = name.split("+")
    assert losses == {loss for part in parts for loss in LOSSES.get(part, ())}
    swaps = [part for part in parts if part.startswith(("backgrounds", "blurred"))]
    assert [t.kind for t in experiment.transforms] == ["background_swap"] * len(swaps)


@pytest.mark.parametrize("name", ["", "cam", "spatial+", "none+spatial"])
def test_unknown_names_are_refused_with_the_list(name: str) -> None:
    with pytest.raises(ConfigError, match="choose none, or of spatial, class-map, dice, right-reasons"):
        guidance(name)


@pytest.mark.parametrize("name", GUIDES)
def test_strength_is_told(name: str) -> None:
    values = Experiment.from_dict(guidance(name)).to_dict()
    weights = {term["weight"] for key, term in values["objective"].items() if key != "classification"}
    told = {float(number) for number in re.findall(r"weight ([\d.]+\d|\d)", GUIDES[name].about)}
    assert told == weights
    shares = {float(number) for number in re.findall(r"\(p ([\d.]+)\)", GUIDES[name].about)}
    assert shares == {transform["p"] for transform in values["transforms"]}


def test_finetune_is_two_phases_or_one_from_scratch() -> None:
    tuned, scratch = finetune(size=64), finetune(weights="none", guide="spatial", seed=7)
    assert [p.trainable for p in tuned.training.phases] == ["head", "all"]
    assert tuned.training.phases[1].lr_factors["backbone"] < 1
    assert tuned.data.size == 64
    assert [p.name for p in scratch.training.phases] == ["scratch"]
    assert (scratch.seed, "spatial" in scratch.objective) == (7, True)
    assert finetune(weights="some/file.safetensors").model.backbone is None, "the weights' card names it"
    with pytest.raises(ConfigError, match="sise"):
        finetune(sise=64)


def test_arms_of_a_study_name_a_guide_and_get_its_placebo() -> None:
    arms = with_guides(
        {
            "none": {"guide": "none"},
            "swap": {"guide": "backgrounds", "data.split.train_per_class": 5},
            "map": {"guide": "class-map", "placebo": False},
            "own": {"data.size": 64},
        }
    )
    assert list(arms) == ["none", "swap", "swap, placebo", "map", "own"]
    assert arms["none"] == guidance("none")
    assert arms["swap"] == {**guidance("backgrounds"), "data.split.train_per_class": 5}
    assert arms["swap, placebo"] == {**arms["swap"], "data.masks.use": "shuffled"}
    assert arms["map"] == guidance("class-map")
    few = with_guides({"few": {"guide": "spatial", "data.masks.use": 10}})
    assert few["few, placebo"] == {**few["few"], "data.masks.shuffled": True}, "of the same ten pictures"
    assert arms["own"] == {"data.size": 64}
    assert len(Study(name="s", arms=arms, seeds=(0,)).cells()) == 5
    with pytest.raises(ConfigError, match="There is no guidance 'maps'"):
        with_guides({"map": {"guide": "maps"}})


def test_settings_are_known_again_as_the_guides_they_are_of() -> None:
    for one in GUIDES:
        assert guides_of(guidance(one)) == [one]
        assert guides_of({**guidance(one), "objective": {"classification": {"kind": "arcface"}}}) == []
    assert guides_of(guidance("spatial+backgrounds")) == ["spatial", "backgrounds"]
    assert guides_of({}) == guides_of(guidance("none")) == []
