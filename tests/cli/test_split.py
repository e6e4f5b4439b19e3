"""foveate split writes a file that the training after it can follow."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from drawn import draw_tree
from foveate.cli.main import app
from foveate.data.discover import discover
from foveate.experiment.prepare import prepare
from foveate.experiment.specification import DataConfig
from foveate.training import Observer

from torchvision.datasets import ImageFolder  # isort: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of 12 pictures; every picture has a copy under another name."""
    for label, name in enumerate(("finch", "wren")):
        folder = tmp_path / "birds" / name
        folder.mkdir(parents=True)
        for k in range(12):
            cells = np.random.default_rng(100 * label + k // 2).integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(cells).resize((48, 48)).save(folder / f"{k}.png")
    return tmp_path / "birds"


def split(data: Path, file: Path) -> None:
    result = CliRunner().invoke(
        app, ["split", str(data), "--out", str(file), "--val", "0.2", "--test", "0.2"]
    )
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_copies_stay_in_one_split_and_training_takes_the_file(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "split.csv"
    split(data, file)
    with open(file, newline="", encoding="utf-8") as stream:
        where = {row["path"]: row["split"] for row in csv.DictReader(stream)}
    assert set(where.values()) == {"train", "val", "test"}
    for name in ("finch", "wren"):
        for k in range(0, 12, 2):
            assert where[f"{name}/{k}.png"] == where[f"{name}/{k + 1}.png"]
    config = DataConfig.model_validate({"split": {"file": file}})
    prepared = prepare(data, config, quarantine=False, observer=Observer())
    assert {s.path: s.split for s in prepared.catalog.samples} == where
    assert len(discover(data).catalog) == len(where)


@pytest.mark.slow
def test_quarantine_follows_a_split_file_that_lists_the_damaged_picture(data: Path, tmp_path: Path) -> None:
    damaged = data / "wren" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    file = tmp_path / "split.csv"
    split(data, file)
    config = DataConfig.model_validate({"split": {"file": file}})
    prepared = prepare(data, config, quarantine=True, observer=Observer())
    assert [entry["path"] for entry in prepared.quarantined] == ["wren/3.png"]
    with open(file, newline="", encoding="utf-8") as stream:
        where = {row["path"]: row["split"] for row in csv.DictReader(stream)}
    del where["wren/3.png"]
    assert {s.path: s.split for s in prepared.catalog.samples} == where


@pytest.mark.slow
def test_folders_hold_the_split_that_training_draws(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "folders"
    result = CliRunner().invoke(app, ["split", str(data), "--folders", str(out)])
    assert result.exit_code == 0, result.output
    assert "24 hard links and 0 copies" in " ".join(result.output.split())
    drawn = prepare(data, DataConfig(), quarantine=False, observer=Observer()).catalog
    for part in ("train", "val", "test"):
        read = ImageFolder(str(out / part))
        assert read.classes == list(drawn.classes)
        found = sorted((Path(path).parent.name, Path(path).name) for path, _ in read.samples)
        wanted = [Path(drawn.samples[row].path).parts for row in drawn.indices(part)]
        assert found == sorted(wanted)
    assert CliRunner().invoke(app, ["split", str(data), "--folders", str(out)]).exit_code == 1


def test_pictures_without_a_mask_may_get_one_first(tmp_path: Path) -> None:
    data = draw_tree(tmp_path / "data", each=6)
    for count, told in ((0, False), (4, True)):
        for mask in sorted((data / "masks").rglob("*.png"))[:count]:
            mask.unlink()
        said = CliRunner().invoke(app, ["split", str(data), "--out", str(tmp_path / f"{count}.csv")]).output
        assert (
            "Pictures without a mask: 4; to have some proposed first: foveate masks propose " in said
        ) is told
