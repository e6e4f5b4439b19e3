"""The Learn 2 Look studies run with weights from files, without a download."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from foveate.cli.study import build_study
from foveate.core.errors import WeightsError
from foveate.models.build import build_network
from foveate.studies.engine import run_study

import timm  # isort: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each network that the studies start from, as timm's download is."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("mobilenetv3_small_100", "tf_efficientnet_lite0"):
        save_file(timm.create_model(name).state_dict(), folder / f"{name}.safetensors")
    return folder


def test_every_block_of_the_future_finds_its_weights(weights: Path) -> None:
    study = build_study("learn2look-future", {"weights": str(weights), "size": 32}, seeds=1)
    cells = {cell.block: cell for cell in study.cells()}
    assert list(cells) == ["MobileNetV3-Small", "another architecture", "from scratch"]
    for block, name in (
        ("MobileNetV3-Small", "mobilenetv3_small_100"),
        ("another architecture", "tf_efficientnet_lite0"),
    ):
        network = build_network(cells[block].experiment.model, classes=2, size=32, seed=0)
        expected = timm.create_model(name, num_classes=0)
        assert type(network.backbone) is type(expected)
        first = next(iter(network.backbone.state_dict()))
        assert torch.equal(
            network.backbone.state_dict()[first], load_file(weights / f"{name}.safetensors")[first]
        )
    assert cells["from scratch"].experiment.model.weights == "none"


def test_weights_that_are_not_there_are_told_before_any_work(
    weights: Path, tree: Path, tmp_path: Path
) -> None:
    only = tmp_path / "only"
    only.mkdir()
    (only / "mobilenetv3_small_100.safetensors").symlink_to(weights / "mobilenetv3_small_100.safetensors")
    study = build_study("learn2look-future", {"weights": str(only)}, seeds=1)
    with pytest.raises(WeightsError, match="none belongs to 'tf_efficientnet_lite0'"):
        run_study(study, tree, tmp_path / "study", jobs=0)
    assert not (tmp_path / "study").exists()
