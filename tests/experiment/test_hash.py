"""What an experiment's hash counts: every setting, but for those that say of themselves that they decide nothing."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from drawn import draw_tree
from every_setting import Setting, every_setting, put
from foveate.core.config import Config, Mark
from foveate.experiment import Experiment, Run, run
from foveate.recipes import STUDIES
from training_helpers import experiment

SETTINGS = every_setting()
OTHER: dict[str, Any] = {
    "data.cache.enabled": False,
    "data.cache.folder": "elsewhere",
    "training.loader.workers": 1,
    "training.loader.pin": False,
    "training.draw": 3,
    "training.draw_every": 2,
    "training.keep_every": 1,
    "training.device": "cpu" if torch.cuda.is_available() else "auto",
    "training.checkpoint_seconds": 1000.0,
}
"""Settings that decide nothing, and another value than in ``short``."""


def decides_nothing(setting: Setting) -> bool:
    return Mark.DECIDES_NOTHING in setting.field.metadata


def test_every_part_of_an_experiment_is_walked() -> None:
    found = {setting.owner.__module__ for setting in SETTINGS}
    assert {
        "foveate.data.cache_config", "foveate.data.split", "foveate.training.phases", "foveate.training.schedules",
        "foveate.objectives.weighting", "foveate.augmentation.cutmix", "foveate.pretext.jigsaw",
    } <= found  # fmt: skip
    assert len(SETTINGS) > 500


OWNERS = {setting.owner: setting.owner.__qualname__ for setting in SETTINGS}


@pytest.mark.parametrize("owner", OWNERS, ids=OWNERS.values())
def test_a_setting_counts_or_says_that_it_decides_nothing(owner: type[Config]) -> None:
    for setting in (setting for setting in SETTINGS if setting.owner is owner):
        others, base = setting.others(), setting.base
        assert others, f"no other value of {setting} was found: add one to tests/every_setting.py"
        for other in others:
            assert (other.hash() == base.hash()) is decides_nothing(setting), str(setting)
            after = setting.place[0] in ("evaluation", "last_layer") or decides_nothing(setting)
            assert (other.training_hash() == base.training_hash()) is after, str(setting)


def short(**changes: Any) -> Experiment:
    values = experiment(**changes).to_dict()
    del values["training"]["phases"][0]
    values["training"]["phases"][0]["epochs"] = 1
    return Experiment.from_dict(values)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that are not square."""
    root = draw_tree(tmp_path_factory.mktemp("wide"), each=8)
    for file in root.rglob("*.png"):
        with Image.open(file) as picture:
            picture.crop((0, 0, 32, 24)).save(file)
    return root


@pytest.fixture(scope="module")
def plain(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(short(), wide, tmp_path_factory.mktemp("plain") / "run")


def test_all_that_say_so_are_tried() -> None:
    found = {".".join(map(str, s.place)) for s in SETTINGS if decides_nothing(s)}
    assert {place for place in found if not place.startswith("start.")} == set(OTHER)
    assert {place.removeprefix("start.") for place in found} == set(OTHER)


@pytest.mark.slow
@pytest.mark.parametrize("place", OTHER)
def test_what_decides_nothing_changes_nothing(place: str, plain: Run, wide: Path, tmp_path: Path) -> None:
    values = short().to_dict()
    other = tmp_path / OTHER[place] if place == "data.cache.folder" else OTHER[place]
    put(values, tuple(place.split(".")), str(other) if isinstance(other, Path) else other)
    changed = Experiment.from_dict(values)
    assert torch.cuda.is_available() or changed != short()
    found = run(changed, wide, tmp_path / "run")
    for file in ("model.safetensors", "predictions.csv"):
        assert (found.folder / file).read_bytes() == (plain.folder / file).read_bytes()


def test_the_size_of_kept_pictures_changes_the_result(plain: Run, wide: Path, tmp_path: Path) -> None:
    found = run(short(data={"cache": {"size": 48}}), wide, tmp_path / "run")
    assert (found.folder / "model.safetensors").read_bytes() != (
        plain.folder / "model.safetensors"
    ).read_bytes()


def test_pictures_of_that_size_are_measured_again_alike(wide: Path, tmp_path: Path) -> None:
    found = run(short(data={"cache": {"size": 16}}), wide, tmp_path / "run")
    again = found.evaluate(device="cpu")
    assert np.abs(again.probabilities - found.predictions.probabilities).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"cache": {"size": 16}}, {"fit": "crop"}])
def test_features_are_shared_by_runs_that_see_the_same_pictures(
    changes: dict[str, Any], wide: Path, tmp_path: Path
) -> None:
    def head(folder: str, shared: Path | None, **data: Any) -> Run:
        values = experiment(data=data).to_dict()
        del values["training"]["phases"][1]
        return run(Experiment.from_dict(values), wide, tmp_path / folder, shared=shared)

    head("first", tmp_path / "shared")
    count = len(list((tmp_path / "shared").iterdir()))
    head("again", tmp_path / "shared", cache={"enabled": False})
    assert len(list((tmp_path / "shared").iterdir())) == count > 0
    with_others = head("with others", tmp_path / "shared", **changes)
    alone = head("alone", None, **changes)
    assert (with_others.folder / "model.safetensors").read_bytes() == (
        alone.folder / "model.safetensors"
    ).read_bytes()


RECORDED = {
    "learn2look-weights": "75f67a7cafa1",
    "learn2look-taps": "3f978e11bc5a",
    "learn2look-second-set": "184e02e5d649",
    "learn2look-future": "6bf72113160a",
    "guidance-all": "d35ea0f9cdc0",
    "shortcut": "44ecc51eeb41",
    "plants-from-scratch": "e9ed342d5568",
    "plants-imbalance": "7a3eecb6d746",
    "plants-final": "9f5b007dc8e3",
    "plants-tta": "10c8686547e8",
    "scenes-supervised": "10936ae033ff",
    "scenes-rotation": "b580df35b5de",
    "scenes-perturbation": "7745108e5097",
    "scenes-controls": "639766ef710e",
}
"""Over the hashes of all cells, as they were when settings had no marks yet; without the guide class-map, which has
become another one since; learn2look-future with the arms and the architecture that it has got since."""


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_studies_find_their_cells(name: str) -> None:
    cells = [cell.experiment for cell in STUDIES[name]().cells() if "class-map" not in cell.arm]
    hashes = " ".join(f"{cell.hash()} {cell.training_hash()}" for cell in cells)
    assert hashlib.sha256(hashes.encode()).hexdigest()[:12] == RECORDED[name]
    assert Experiment().hash() == "e1939442e201"
