"""Look, correct, add pictures, train again: the walk as a user types it."""

import csv
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from drawn import draw_tree
from foveate.cli.main import app
from foveate.experiment import Run

SMALL = ("--size", "32", "--epochs", "2", "--batch-size", "16", "--lr", "0.01", "--device", "cpu")


def foveate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(result: Result) -> str:
    return " ".join(result.output.split())


def test_labels_are_mended_pictures_added_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    drawn = draw_tree(tmp_path / "drawn", classes=2, each=20)
    for label in ("class0", "class1"):
        shutil.copytree(drawn / "images" / label, tmp_path / "pictures" / label)
    later = Path("pictures/later")
    wrong = Path("pictures/class0/000.png").rename("pictures/class1/mislaid.png")  # a wrong label
    network = ("--backbone", "foveate_small_cnn", "--weights", "none", "--set", "training.precision=fp32")
    result = foveate("train", "pictures", "--out", "runs/first", *network, *SMALL)
    assert result.exit_code == 0, result.output

    later.mkdir()
    shutil.copy("pictures/class0/001.png", later / "unseen.png")
    for label in ("class0", "class1"):
        Path(f"pictures/{label}/019.png").rename(later / f"{label}-new.png")
    shutil.copytree("pictures", "kept")
    assert foveate("predict", "runs/first", "pictures", "--quick", "--out", "p.csv").exit_code == 0
    with open("p.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    truth = {
        "later/class0-new.png": "class0",
        "later/class1-new.png": "class1",
        "class1/mislaid.png": "class0",
    }
    with open("p.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, [*rows[0], "corrected"])
        writer.writeheader()
        writer.writerows({**row, "corrected": truth.get(row["path"], "")} for row in rows)

    result = foveate("labels", "apply", "p.csv", "pictures")
    assert result.exit_code == 0, result.output
    for path, new in truth.items():
        old = path.split("/")[0]
        assert f"{path} {old} {new}" in said(result)
    assert "3 labels change, 0 are confirmed. Nothing was written" in said(result)
    result = foveate(
        "labels", "apply", "p.csv", "pictures", "--run", "runs/first", "--out", "pictures/labels.csv"
    )
    assert result.exit_code == 0, result.output
    assert "1 pictures are of the class later, which runs/first has not learnt" in said(result)
    (later / "unseen.png").unlink()
    table = Path("pictures/labels.csv")
    table.write_text("\n".join(line for line in table.read_text().splitlines() if "unseen" not in line))
    for path in set(Path("kept").rglob("*.png")) - {Path("kept/later/unseen.png")}:
        assert (Path("pictures") / path.relative_to("kept")).read_bytes() == path.read_bytes()

    result = foveate("train", "pictures/labels.csv", "--from", "runs/first", "--out", "runs/second", *SMALL)
    assert result.exit_code == 0, result.output
    assert "are among those that" not in said(result), "no picture that it has learnt is tested"
    first, second = Run.open("runs/first").catalog, Run.open("runs/second").catalog
    assert second.classes == first.classes
    labels = {sample.path: second.classes[sample.label] for sample in second.samples}
    assert {path: labels[path] for path in truth} == truth
    splits = {sample.path: sample.split for sample in second.samples}
    assert {splits[path] for path in truth if path.startswith("later")} == {"train"}
    before = {sample.path: sample.split for sample in first.samples}
    shared = before.keys() & splits.keys()
    assert len(shared) == 38
    assert {path: splits[path] for path in shared} == {path: before[path] for path in shared}
    assert wrong.is_file()


def test_what_is_not_known_is_listed_and_status_1(tree: Path, tmp_path: Path) -> None:
    table = tmp_path / "p.csv"
    table.write_text(
        "path,corrected\nimages/class0/000.png,class1\nnowhere.png,class1\nimages/class0/001.png,bee\n"
    )
    result = foveate("labels", "apply", table, tree)
    assert result.exit_code == 1
    text = said(result)
    assert "images/class0/000.png class0 class1" in text
    assert "not applied: nowhere.png: no picture of" in text
    assert "not applied: images/class0/001.png: 'bee' is no class here" in text
    assert "2 of 3 labels were not applied." in text
