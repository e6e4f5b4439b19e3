"""Studies as specifications: arms, axes, blocks, cells."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.core.errors import ConfigError
from foveate.studies.specification import Study, common_settings, lay

SPATIAL = {"objective": {"spatial": {"kind": "spatial_mse", "tap": "early", "weight": 0}}}


def test_axes_multiply_with_arms_in_order() -> None:
    study = Study(
        name="s",
        base=SPATIAL,
        arms={"plain": {}, "smooth": {"objective": {"classification": {"label_smoothing": 0.1}}}},
        axes={"objective.spatial.weight": [0, 0.5], "where": {"at late": {"objective.spatial.tap": "late"}}},
    )
    assert list(study.arm_changes()) == [
        "plain, weight 0, at late",
        "plain, weight 0.5, at late",
        "smooth, weight 0, at late",
        "smooth, weight 0.5, at late",
    ]
    cell = study.cells()[3]
    terms = cell.experiment.objective
    assert (terms["spatial"].weight, terms["spatial"].tap) == (0.5, "late")
    assert terms["classification"].label_smoothing == 0.1


@settings(deadline=None)
@given(
    arms=st.integers(1, 4),
    blocks=st.integers(0, 3),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
)
def test_cells_are_the_whole_product_once(arms: int, blocks: int, seeds: list[int]) -> None:
    study = Study(
        name="s",
        base=SPATIAL,
        axes={"objective.spatial.weight": [k / 10 for k in range(arms)]},
        blocks={f"b{k}": {"data.split.train_per_class": k + 1} for k in range(blocks)},
        seeds=tuple(seeds),
    )
    cells = study.cells()
    wanted = itertools.product(seeds, study.block_names, study.arm_changes())
    assert [(c.seed, c.block, c.arm) for c in cells] == list(wanted)
    assert len({c.key for c in cells}) == len(cells)


def test_the_same_seed_gives_every_arm_the_same_split_and_each_seed_its_own() -> None:
    cells = Study(name="s", base=SPATIAL, axes={"objective.spatial.weight": [0, 1]}, seeds=(4, 9)).cells()
    assert [c.experiment.data.split.seed for c in cells] == [4, 4, 9, 9]
    assert [c.experiment.seed for c in cells] == [4, 4, 9, 9]
    shared = Study(name="s", base=SPATIAL, split="shared", seeds=(4, 9)).cells()
    assert [c.experiment.data.split.seed for c in shared] == [0, 0]


def test_arms_that_say_the_same_are_one_cell() -> None:
    cells = Study(
        name="s", base=SPATIAL, arms={"a": {}, "b": {"objective.spatial.weight": 0}}, seeds=(0,)
    ).cells()
    assert cells[0].key == cells[1].key


def test_dotted_names_reach_into_lists_and_keep_types() -> None:
    values = lay({"a": {"b": [{"c": 1}, {"c": 2}]}}, {"a.b.1.c": None, "d": {"e": "5"}})
    assert values == {"a": {"b": [{"c": 1}, {"c": None}]}, "d": {"e": "5"}}
    assert lay({"x": {"y": 0}}, {"x.y": "1e-3"}) == {"x": {"y": "1e-3"}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"baseline": "c"}, "the baseline 'c' is not one of the arms"),
        ({"seeds": (1, 1)}, "seeds are named twice"),
        ({"seeds": ()}, "seeds"),
        ({"colour": 1}, "colour"),
    ],
)
def test_wrong_studies_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Study.from_dict({"name": "s", "arms": {"a": {}, "b": {}}, **values})


def test_a_wrong_arm_is_named() -> None:
    study = Study(name="s", arms={"good": {}, "bad": {"training": {"epochz": 1}}})
    with pytest.raises(ConfigError, match=r"study 's', arm 'bad': training\.epochz"):
        study.cells()


def test_yaml_round_trip(tmp_path) -> None:
    study = Study(
        name="Ünï",
        base=SPATIAL,
        axes={"objective.spatial.weight": [0, 0.5]},
        seeds=(3, 1),
        baseline="weight 0.5",
    )
    (tmp_path / "s.yaml").write_text(study.to_yaml(), encoding="utf-8")
    read = Study.from_yaml(tmp_path / "s.yaml")
    assert read == study
    assert [c.key for c in read.cells()] == [c.key for c in study.cells()]


def test_a_study_may_grow_by_seeds_and_arms_but_not_change_its_base() -> None:
    small = Study(name="s", base=SPATIAL, arms={"a": {}}, seeds=(0,))
    grown = Study(name="s", base=SPATIAL, arms={"a": {}, "b": {"objective.spatial.weight": 1}}, seeds=(0, 1))
    other = Study(name="s", base={**SPATIAL, "training": {"batch_size": 8}}, arms={"a": {}}, seeds=(0,))
    assert common_settings(small) == common_settings(grown) != common_settings(other)
