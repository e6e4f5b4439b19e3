"""How pictures are read is said in the same words to every command that reads some."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from foveate.cli.main import app
from foveate.experiment import Run

LABEL = r"regex:(class\d)-"


def foveate(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def flat(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree's pictures in one folder, the class in the file name."""
    folder = tmp_path_factory.mktemp("flat")
    for file in (tree / "images").rglob("*.png"):
        shutil.copy(file, folder / f"{file.parent.name}-{file.name}")
    return folder


def test_class_from_the_file_name(flat: Path, finished: Run, tmp_path: Path) -> None:
    assert "--label 'regex:(cat|dog)'" in foveate("check", flat).output, "the refusal names the way out"
    checked = foveate("check", flat, "--label", LABEL)
    assert checked.exit_code == 0, checked.output
    assert f"Next: foveate split {flat} --label '{LABEL}' --out {flat.stem}.csv" in " ".join(
        checked.output.split()
    )
    divided = foveate("split", flat, "--label", LABEL, "--out", tmp_path / "split.csv")
    assert divided.exit_code == 0, divided.output
    assert f"--label '{LABEL}' --split {tmp_path / 'split.csv'} --out RUN" in " ".join(divided.output.split())
    with open(tmp_path / "split.csv", newline="") as stream:
        assert Counter(row["label"] for row in csv.DictReader(stream)) == dict.fromkeys(
            finished.catalog.classes, 16
        )
    assert foveate("evaluate", finished.folder, "--data", flat).exit_code == 1
    measured = foveate(
        "evaluate", finished.folder, "--data", flat, "--label", LABEL, "--out", tmp_path / "table.csv"
    )
    assert measured.exit_code == 0, measured.output
    with open(tmp_path / "table.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    # They are the run's own pictures: those that it has learnt are left out.
    assert len(rows) == 48 - len(finished.catalog.indices("train"))
    looked = foveate(
        "look", finished.folder, "--data", flat, "--label", LABEL, "--methods", "gradcam", "--limit", 4, "--set",
        "faithfulness.steps=2",
    )  # fmt: skip
    assert looked.exit_code == 0, looked.output


def test_columns_of_other_names(tree: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    files = list((tree / "images").rglob("*.png"))
    table.write_text("image_id,dx\n" + "".join(f"{file},{file.parent.name}\n" for file in files))
    out = tmp_path / "split.csv"
    assert "as --columns path=image_id,label=dx" in " ".join(
        foveate("split", table, "--out", out).output.split()
    )
    result = foveate("split", table, "--columns", "path=image_id,label=dx", "--out", out)
    assert result.exit_code == 0, result.output
    with open(out, newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(files)
    wrong = foveate("check", table, "--columns", "picture=image_id")
    assert wrong.exit_code == 1
    assert "known are path, label, split" in " ".join(wrong.output.split())
