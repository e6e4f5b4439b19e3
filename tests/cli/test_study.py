"""Which study ``foveate study run`` makes of a name and its flags."""

from pathlib import Path

import pytest

from foveate.cli.study import build_study
from foveate.core.errors import ConfigError

STUDY = """
name: losses
base: {training: {batch_size: 16}}
arms:
  none: {}
  a, b: {objective: {spatial: {kind: spatial_mse, weight: 2}}}
  swapped: {transforms: [{kind: background_swap, p: 0.5}]}
blocks: {few: {data.split.train_per_class: 10}, many: {data.split.train_per_class: 50}}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return str(path)


def test_flags_are_laid_over_the_file(file: str) -> None:
    study = build_study(
        file, {"weights": "net.safetensors", "size": 96, "set": ["base.training.clip=1.0"]}, seeds=3
    )
    assert study.seeds == (0, 1, 2)
    for cell in study.cells():
        assert cell.experiment.model.weights == "net.safetensors"
        assert cell.experiment.data.size == 96
        assert cell.experiment.training.clip == 1.0
        assert cell.experiment.training.batch_size == 16


def test_a_guide_takes_the_place_of_the_arms(file: str, tmp_path: Path) -> None:
    for name in (file, "guidance"):
        study = build_study(name, {"split": Path("split.csv")}, guides=["class-map"])
        assert list(study.arms) == ["none", "class-map", "class-map, placebo"]
        assert study.baseline_arm == "none"
        assert study.split == "shared"
        for cell in study.cells():
            assert cell.experiment.data.split.file == Path("split.csv")
            assert ("look" in cell.experiment.objective) == (cell.arm != "none")
            assert (cell.experiment.data.masks.use == "shuffled") == cell.arm.endswith("placebo")
    with pytest.raises(ConfigError, match="no guidance 'sorcery'"):
        build_study(file, guides=["sorcery"])


def test_arms_and_blocks_cut_a_study_down_to_cells_it_had(file: str) -> None:
    whole = build_study(file)
    few = build_study(file, only_arms=["swapped"], only_blocks=["many"])
    expected = [c for c in whole.cells() if c.arm in ("none", "swapped") and c.block == "many"]
    assert [(c.arm, c.key) for c in few.cells()] == [(c.arm, c.key) for c in expected]
    assert few.baseline_arm == "none"


def test_the_order_is_the_studys_and_names_may_hold_commas(file: str) -> None:
    study = build_study(file, only_arms=["swapped", "a, b", "none"])
    assert list(study.arms) == ["none", "a, b", "swapped"]


def test_a_named_baseline_stays(file: str) -> None:
    study = build_study(file, {"set": ["baseline=swapped"]}, only_arms=["none"])
    assert list(study.arms) == ["none", "swapped"]
    assert study.baseline_arm == "swapped"


def test_an_unknown_arm_or_block_is_told_with_the_choice(file: str) -> None:
    with pytest.raises(ConfigError, match="no arm 'swap'; choose of none, a, b, swapped"):
        build_study(file, only_arms=["swap"])
    with pytest.raises(ConfigError, match="no block '20'; choose of few, many"):
        build_study(file, only_blocks=["20"])
    with pytest.raises(ConfigError, match="its blocks have no names to choose by"):
        build_study("learn2look-taps", only_blocks=["20"])


def test_neither_recipe_nor_file() -> None:
    with pytest.raises(ConfigError, match="no study recipe 'guidnace'"):
        build_study("guidnace")
