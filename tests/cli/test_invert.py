"""foveate invert and foveate summit, as a user types them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from foveate.cli.main import app
from foveate.core.lock import entries
from foveate.experiment import Run


def foveate(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})


def said(result: Result) -> str:
    return " ".join(result.output.split())


def opened(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


QUICK = ("--set", "steps=3", "--device", "cpu")


def test_invert_classes(finished: Run, tmp_path: Path) -> None:
    out = tmp_path / "classes"
    command = ("invert", finished.folder, "--classes", "class2, class0", "--out", out, "--seed", 3, *QUICK)
    result = foveate(*command)
    assert result.exit_code == 0, result.output
    assert str(out / "sheet.png") in said(result)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["steps"] == 3
    assert manifest["settings"]["seed"] == 3
    pictures = {name: opened(out / f"{name}.png") for name in ("class0", "class2")}
    assert all(picture.shape == (32, 32, 3) for picture in pictures.values())
    assert (pictures["class0"] != pictures["class2"]).any()
    assert opened(out / "sheet.png").shape[1] > 64
    with open(out / "scores.csv", newline="", encoding="utf-8") as stream:
        assert len(list(csv.reader(stream))) > 3
    again = foveate(*command)
    assert again.exit_code == 1
    assert "holds files already" in said(again)


def test_invert_channels_of_a_layer(finished: Run, tmp_path: Path) -> None:
    out = tmp_path / "channels"
    result = foveate(
        "invert", finished.folder, "--layer", "middle", "--channels", "1,4", "--out", out, *QUICK
    )
    assert result.exit_code == 0, result.output
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["layer"] == "stages.3"
    assert len(list(out.glob("*.png"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--classes", "cat"), "cat"),
        (("--layer", "middle", "--channels", "one"), "takes numbers joined by commas"),
        (("--layer", "middle", "--channels", "999"), "999"),
        (("--channels", "3"), "layer"),
    ],
)
def test_bad_input_of_invert(finished: Run, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = foveate("invert", finished.folder, *arguments, "--out", tmp_path / "out", *QUICK)
    assert result.exit_code == 1
    assert message in said(result)
    assert not entries(tmp_path / "out")


def test_summit(finished: Run, tmp_path: Path) -> None:
    out = tmp_path / "summit"
    result = foveate(
        "summit", finished.folder, "--layers", "middle,late", "--limit", 2, "--channels", 1, "--out", out,
        "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    with open(out / "channels.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["class"] for row in rows} == {"class0", "class1", "class2"}
    assert len(rows) <= 3 * 2
    graph = json.loads((out / "graph.json").read_text(encoding="utf-8"))
    assert len(graph["nodes"]) > 0
    page = (out / "graph.html").read_text(encoding="utf-8")
    assert page.count("<image ") == len(graph["nodes"])
    listed = {node["id"] for node in graph["nodes"]}
    assert page.count("<path d=") == sum({e["source"], e["target"]} <= listed for e in graph["edges"])
    assert list((out / "pictures").rglob("*.png"))
    again = foveate("summit", finished.folder, "--out", out, "--device", "cpu")
    assert again.exit_code == 1
    assert "holds files already" in said(again)
