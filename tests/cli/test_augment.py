"""foveate augment preview, as a user types it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from foveate.cli.main import app
from foveate.experiment import Run
from foveate.reporting.augmentations import SIDE
from foveate.reporting.raster import GAP, LINE, MARGIN


def preview(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["augment", "preview", *map(str, arguments)], env={"COLUMNS": "200"})


def cell(file: Path, row: int, column: int) -> np.ndarray:
    with Image.open(file) as sheet:
        x, y = MARGIN + column * (SIDE + GAP), MARGIN + LINE + row * (SIDE + 2 * LINE + GAP)
        return np.asarray(sheet.crop((x, y, x + SIDE, y + SIDE))).astype(int)


def test_a_sheet_of_presets_steps_and_transforms(tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    names = "none,hflip,cutout,cutmix,combine"
    members = ("--set", "combine.members=[{kind: mixup}]", "--set", "cutout.side=2")
    result = preview(tree, "--with", names, "--out", file, "--count", 4, "--size", 32, *members)
    assert result.exit_code == 0, result.output
    assert "4 pictures, 5 augmentations" in result.output
    for row in range(4):
        plain = cell(file, row, 0)
        assert np.array_equal(cell(file, row, 1), plain)
        assert np.abs(cell(file, row, 2)[:, ::-1] - plain).mean() < 12  # but for the line around the mask
        assert cell(file, row, 3).std() < plain.std()  # mostly hidden
    drawn = file.read_bytes()
    assert preview(tree, "--with", names, "--out", file, "--count", 4, "--size", 32, *members).exit_code == 0
    assert file.read_bytes() == drawn


def test_the_network_is_mentioned_where_a_transform_could_ask_it(tree: Path, tmp_path: Path) -> None:
    sheet = ("--out", tmp_path / "sheet.png", "--count", 1, "--size", 32)
    assert "not trained" in preview(tree, "--with", "hflip,snapmix", *sheet).output
    assert "not trained" not in preview(tree, "--with", "standard,hflip", *sheet).output


def test_what_can_change_nothing_without_masks_is_named(tree: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tree, bare, ignore=shutil.ignore_patterns("masks"))
    names = ("--with", "background_swap,cutmix,random_erasing", "--set", "random_erasing.region=object")
    sheet = ("--out", tmp_path / "sheet.png", "--count", 1, "--size", 32)
    words = "No picture has a mask, so nothing is changed by background_swap, random_erasing."
    assert words in preview(bare, *names, *sheet).output
    assert "No picture has a mask" not in preview(tree, *names, *sheet).output


def test_every_share_of_a_label_has_its_line(tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    assert preview(tree, "--with", "hflip", "--out", file, "--count", 4, "--size", 32).exit_code == 0
    with Image.open(file) as plain:
        width, height = plain.size
    settings = ("--set", "ricap.beta=100", "--set", "ricap.origin=anywhere")
    result = preview(
        tree, "--with", "ricap", *settings, "--out", file, "--count", 4, "--size", 32, "--seed", 1
    )
    assert result.exit_code == 0, result.output
    with Image.open(file) as mixed:
        assert mixed.width == width
        assert (mixed.height - height) % (4 * LINE) == 0
        assert mixed.height > height


@pytest.mark.slow
def test_the_network_of_a_run(tree: Path, finished: Run, tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    result = preview(tree, "--with", "mixup,augmix", "--out", file, "--run", finished.folder)
    assert result.exit_code == 0, result.output
    assert "not trained" not in result.output
    result = preview(tree, "--with", "mixup", "--out", file, "--run", finished.folder, "--size", 64)
    assert "brings its own network and size" in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--with", "cutmixx"), "There is no augmentation 'cutmixx'; choose of none, basic"),
        (("--with", ","), "--with is empty"),
        (("--with", "cutmix", "--set", "mixup.p=1"), "--set names ['mixup'], which --with does not"),
        (("--with", "cutmix", "--set", "cutmix.q=1"), "cutmix: q is no setting"),
        (("--with", "basic", "--set", "basic.p=1"), "The preset 'basic' has no settings of its own"),
        (("--with", "hflip", "--set", "hflip.q=1"), "q is no setting"),
    ],
)
def test_what_it_refuses(tree: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    result = preview(tree, "--out", tmp_path / "sheet.png", "--size", "32", *arguments)
    assert result.exit_code == 1
    assert sentence in " ".join(result.output.split())
    result = preview(tree, "--out", tmp_path / "sheet.jpg", "--with", "hflip")
    assert "--out takes a .png file" in result.output
