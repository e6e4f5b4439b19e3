"""foveate masks propose and compare, as a user types them."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from drawn import draw_tree
from foveate.cli.main import app
from foveate.experiment import Run


def foveate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["masks", *map(str, arguments)], env={"COLUMNS": "200"})


def said(result: Result) -> str:
    return " ".join(result.output.split())


def test_propose_and_compare(tree: Path, finished: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = foveate(
        "propose", tree, "--out", out, "--all", "--prior", "box", "--limit", 6, "--set", "side=64"
    )
    assert result.exit_code == 0, result.output
    assert "6 masks (6 from box)" in said(result)
    assert f"--masks {out}" in said(result)
    assert (out / "review.html").is_file()
    assert len(list(out.rglob("*.png"))) == 6
    result = foveate("compare", tree, out, "--out", tmp_path / "t.csv")
    assert result.exit_code == 0, result.output
    assert "6 pictures with a known mask, 0 of them without a proposed one" in said(result)
    assert "42 pictures were not proposed for and are left out" in said(result)
    assert "whole picture" in said(result)
    with open(tmp_path / "t.csv", newline="") as stream:
        ours = [float(row["iou"]) for row in csv.DictReader(stream) if row["masks"] == "proposed"]
    assert len(ours) == 6
    assert min(ours) > 0.9
    assert foveate("compare", tree, out, "--values", "255").exit_code == 0
    result = foveate(
        "propose", tree, "--out", tmp_path / "m", "--all", "--run", finished.folder, "--limit", 2
    )
    assert result.exit_code == 0, result.output
    assert "class-map" in (tmp_path / "m" / "proposals.csv").read_text()


def test_pictures_without_a_mask_are_named(tmp_path: Path) -> None:
    data = draw_tree(tmp_path / "drawn", classes=2, each=2) / "images"
    (data / "class0" / "bad.png").write_bytes(b"no picture")
    result = foveate("propose", data, "--out", data / "masks")
    assert result.exit_code == 1, result.output
    assert "Pictures without a mask: 1 class0/bad.png:" in said(result)
    assert len(list((data / "masks").rglob("*.png"))) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("propose", "nowhere", "--out", "o"), "does not exist"),
        (("propose", "TREE", "--out", "o"), "have a mask already"),
        (
            ("propose", "TREE", "--out", "o", "--prior", "left"),
            "prior must be 'auto', 'centre', 'box'",
        ),
        (("propose", "TREE", "--out", "o", "--share", "2"), "share must be less than 1"),
        (("propose", "TREE", "--out", "o", "--set", "sides=3"), "sides is no setting"),
        (("propose", "TREE", "--out", "o", "--prior", "class-map"), "needs a trained run"),
        (("propose", "TREE", "--out", "o", "--run", "nowhere"), "not a run folder"),
        (("propose", "TREE", "--out", "TREE/images"), "among the pictures"),
        (("compare", "TREE", "nowhere"), "do not exist"),
        (("compare", "TREE", "TREE/masks"), "are the known ones themselves"),
        (("compare", "TREE", "o", "--values", "a"), "--values takes grey values joined by commas"),
    ],
)
def test_errors_are_one_sentence_and_status_1(
    arguments: tuple[str, ...], message: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = foveate(*(word.replace("TREE", str(tree)) for word in arguments))
    assert result.exit_code == 1
    assert message in said(result)
    assert result.output.startswith("error ")
    assert "Traceback" not in result.output
