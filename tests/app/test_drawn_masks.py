"""Masks that are drawn: what is written, what is kept, what the command that learns from them does."""

import base64
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from drawn import draw_tree
from foveate.app.drawn_masks import DrawnMasks
from foveate.cli.main import app
from foveate.core.errors import DataError
from foveate.data.discover import discover
from foveate.data.layout_settings import LayoutConfig
from foveate.experiment import Run, run
from foveate.experiment.specification import Experiment
from training_helpers import experiment

from .conftest import Opened


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        assert image.mode == "L"
        return np.asarray(image)


def test_a_mask_is_saved_as_it_was_painted_and_earlier_ones_are_kept(
    finished: Run, serve: Opened, tmp_path: Path
) -> None:
    sample = finished.catalog.samples[5]
    own = pixels(finished.catalog.root / sample.mask.removeprefix("png:"))
    with serve(finished, tmp_path / "drawn") as client:
        found = client("mask", key="r5")
        assert (found["width"], found["height"], found["source"]) == (32, 32, "drawn")  # in the data, by hand
        shown = np.frombuffer(base64.b64decode(found["mask"]), dtype=np.uint8).reshape(32, 32)
        np.testing.assert_array_equal(shown * 255, own)
        rng = np.random.default_rng(0)
        painted = [rng.integers(0, 2, (32, 32), dtype=np.uint8) for _ in range(3)]
        for mask in painted:
            saved = client("mask", mask.tobytes(), key="r5")
        file = Path(saved["file"])
        assert file == tmp_path / "drawn" / Path(sample.path.removeprefix("images/")).with_suffix(".png")
        np.testing.assert_array_equal(pixels(file), painted[2] * 255)
        kept = sorted((tmp_path / "drawn" / ".earlier").rglob("*.png"))
        assert [file.name for file in kept] == [f"{file.stem}.1.png", f"{file.stem}.2.png"]
        for earlier, mask in zip(kept, painted, strict=False):
            np.testing.assert_array_equal(pixels(earlier), mask * 255)
        again = np.frombuffer(base64.b64decode(client("mask", key="r5")["mask"]), dtype=np.uint8)
        np.testing.assert_array_equal(again.reshape(32, 32), painted[2])
        for wrong in (b"", b"\0" * 1023, b"\2" * 1024):
            assert client("mask", wrong, key="r5")[0] == 422
        np.testing.assert_array_equal(pixels(file), painted[2] * 255)
    np.testing.assert_array_equal(pixels(finished.catalog.root / sample.mask.removeprefix("png:")), own)
    layout = LayoutConfig(masks=(tmp_path / "drawn", Path("auto")))
    masks = {one.path: one.mask for one in discover(finished.catalog.root, layout).catalog.samples}
    assert masks.pop(sample.path) == f"png:{file}"
    assert masks == {one.path: one.mask for one in finished.catalog.samples if one.path != sample.path}


def test_what_was_not_touched_of_a_large_picture_keeps_its_outline(finished: Run, tmp_path: Path) -> None:
    root = tmp_path / "large"
    (root / "images" / "class0").mkdir(parents=True)
    (root / "masks" / "class0").mkdir(parents=True)
    rng = np.random.default_rng(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (1500, 2048)).save(
        root / "images" / "class0" / "a.jpg", exif=exif
    )  # upright 2048 x 1500
    own = np.kron(rng.integers(0, 2, (750, 1024)), np.ones((2, 2))).astype(np.uint8) * 255
    own[:40] = 0
    own[1, 1], own[900, 901] = 255, 255 - own[900, 901]  # finer than what is painted on
    Image.fromarray(own).save(root / "masks" / "class0" / "a.png")
    opened = Run.open(finished.folder)
    opened.catalog = replace(discover(root).catalog, classes=("class0",))
    masks = DrawnMasks(opened, tmp_path / "drawn")
    painted = masks.painted(0)
    assert painted.shape == (750, 1024)
    painted = painted.copy()
    painted[5:10, 100:200] = True
    masks.save(0, painted)
    wanted = own.copy()
    wanted[10:20, 200:400] = 255
    np.testing.assert_array_equal(pixels(masks.file(0)), wanted)


def test_folders_that_would_mix_are_refused(finished: Run, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="would lie among the pictures"):
        DrawnMasks(finished, tree / "images" / "more")
    (tmp_path / "proposals.csv").write_text("path\n")
    with pytest.raises(DataError, match="holds proposed masks"):
        DrawnMasks(finished, tmp_path)
    other = tmp_path / "other" / "class0" / "000_mask.png"
    other.parent.mkdir(parents=True)
    Image.new("L", (32, 32)).save(other)
    with pytest.raises(DataError, match=r"000_mask.png is a mask of .*class0/000.png too"):
        DrawnMasks(finished, tmp_path / "other")
    opened = Run.open(finished.folder)
    opened.catalog = replace(finished.catalog, root=tmp_path / "gone")
    with pytest.raises(DataError, match=r"are not in .*gone any more"):
        DrawnMasks(opened, tmp_path / "drawn")
    samples = (*finished.catalog.samples, replace(finished.catalog.samples[0], path="images/class0/000.jpg"))
    opened.catalog = replace(finished.catalog, samples=samples)
    with pytest.raises(DataError, match="another picture has the same name"):
        DrawnMasks(opened, tmp_path / "drawn").file(0)


def test_the_folder_lies_beside_the_data(finished: Run, tree: Path) -> None:
    assert DrawnMasks(finished).folder == tree.with_name(f"{tree.name}-drawn")
    assert not tree.with_name(f"{tree.name}-drawn").exists()  # before something is drawn


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "--masks {drawn} --masks auto --guide backgrounds"),
        ({"objective": {"spatial": {"kind": "spatial_mse", "tap": "late"}}}, "--masks {drawn} --masks auto"),
        (
            {"data": {"layout": {"masks": ["{drawn}", "auto"]}}},
            "--masks {drawn} --masks auto --guide backgrounds",
        ),
        ({"data": {"layout": {"masks": "none"}}}, "--masks {drawn} --guide backgrounds"),
        (
            {"transforms": [{"kind": "background_swap"}], "data": {"masks": {"use": "shuffled"}}},
            "--masks {drawn} --masks auto --set data.masks.use=all --set data.masks.shuffled=false",
        ),
        (
            {"model": {"network": {"kind": "attention_branch"}, "head": {"kind": "linear"}}},
            "--masks {drawn} --masks auto --guide attention-branch",
        ),
        (
            {
                "training": {"phases": [{"name": "head", "trainable": "head"}]},
                "last_layer": {"kind": "ridge"},
            },
            "--masks {drawn} --masks auto --guide backgrounds --freeze none --set last_layer=null",
        ),
    ],
)
def test_the_command_is_as_the_run_was_trained(
    finished: Run, tmp_path: Path, changes: dict[str, Any], wanted: str
) -> None:
    drawn = tmp_path / "drawn masks"
    if changes.get("data", {}).get("layout", {}).get("masks", [""])[0] == "{drawn}":
        changes = {"data": {"layout": {"masks": [str(drawn), "auto"]}}}
    opened = Run.open(finished.folder)
    opened.experiment = Experiment.from_dict(experiment(**changes).to_dict())
    words = shlex.split(DrawnMasks(opened, drawn).command())
    start = ["foveate", "train", str(opened.environment["data"]), "--from", str(opened.folder), "--config"]
    assert words[:7] == [*start, str(opened.folder / "experiment.yaml")]
    assert words[-2:] == ["--out", str(opened.folder.with_name("finished-corrected"))]
    assert words[7:-2] == [word.replace("{drawn}", str(drawn)) for word in wanted.split()]


def again(opened: Run, masks: DrawnMasks) -> Run:
    """What its command trains."""
    words = shlex.split(masks.command())[1:]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return Run.open(Path(words[-1]))


@pytest.mark.slow
def test_drawn_masks_are_learned_from(tree: Path, tmp_path: Path, serve: Opened) -> None:
    data = shutil.copytree(tree / "images", tmp_path / "data")  # without masks
    first = run(experiment(data={"layout": {"masks": "none"}}), data, tmp_path / "first")
    rows = first.catalog.indices("train")[:4].tolist()
    masks = DrawnMasks(first)
    with serve(first, masks.folder) as client:
        for row in rows:
            name = first.catalog.samples[row].path
            mask = pixels(tree / "masks" / Path(name)) > 0
            client("mask", mask.astype(np.uint8).tobytes(), key=f"r{row}")
    second = again(first, masks)
    assert [bool(sample.mask) for sample in second.catalog.samples] == [
        row in rows for row in range(len(second.catalog))
    ]
    assert [sample.split for sample in second.catalog.samples] == [s.split for s in first.catalog.samples]
    assert second.experiment.transforms[0].kind == "background_swap"
    noted = next(d for d in second.environment["decisions"] if d["name"] == "masks in training")
    assert noted["value"].startswith("4 of ")
    assert DrawnMasks(second).command().count("--masks") == 1  # and once more


@pytest.mark.slow
def test_a_drawn_map_teaches_the_attention_branch(tmp_path: Path, serve: Opened) -> None:
    tree = draw_tree(tmp_path / "tree", size=48)
    data = shutil.copytree(tree / "images", tmp_path / "data")
    network = {"network": {"kind": "attention_branch", "width": 8}, "head": {"kind": "linear"}}
    settings = {
        "data": {"size": 48, "layout": {"masks": "none"}},
        "model": network,
        "objective": {"branch": {"kind": "cross_entropy", "on": "attention"}},
        "training": {"phases": [{"name": "all", "epochs": 24, "lr": 0.01, "restore_best": None}]},
    }
    first = run(experiment(**settings), data, tmp_path / "first")
    rows = first.catalog.indices("train").tolist()
    masks = DrawnMasks(first)
    with serve(first, masks.folder) as client:
        assert client("explainers")["explainers"][0]["name"] == "own attention"
        for row in rows:
            file = first.catalog.samples[row].path
            mask = pixels(tree / "masks" / Path(file)) > 0
            client("mask", mask.astype(np.uint8).tobytes(), key=f"r{row}")
        before = [distance(client, row, tree, first) for row in rows]
    second = again(first, masks)
    assert {"branch", "edited"} <= set(second.experiment.objective)
    assert second.environment["decisions"]
    taught = [row["train_edited"] for row in second.history]
    assert 0 < taught[-1] < taught[0]
    with serve(second, masks.folder) as client:
        after = [distance(client, row, tree, second) for row in rows]
    assert np.mean(after) < 0.8 * np.mean(before)


def distance(client: Any, row: int, tree: Path, opened: Run) -> float:
    """Mean squared difference of the network's own map and the mask."""
    found = client("map", key=f"r{row}", method="own attention")
    levels = np.frombuffer(base64.b64decode(found["levels"]), dtype=np.uint8)
    mask = pixels(tree / "masks" / opened.catalog.samples[row].path) / 255
    return float(np.square(levels.reshape(found["height"], found["width"]) / 255 - mask).mean())
