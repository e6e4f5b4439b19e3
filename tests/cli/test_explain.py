"""foveate explain and foveate list explainers, as a user types them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from foveate.cli.main import app
from foveate.core.registry import first_sentence
from foveate.experiment import Run
from foveate.explanation import EXPLAINERS, Explainer
from foveate.explanation.explainer import PIXELS
from foveate.explanation.probe import Probe


def foveate(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})


def said(result: Result) -> str:
    return " ".join(result.output.split())


class Specks(Explainer):
    """Noise. For tests."""

    slow = True

    amount: float = 1.0

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        probe.report(1, 1)
        return {PIXELS: torch.full((len(images), 8, 8), self.amount)}


class Stopped(Specks):
    """Ctrl-C."""

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _more_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPLAINERS._classes, "specks", Specks)
    monkeypatch.setitem(EXPLAINERS._classes, "stopped", Stopped)


def test_explain(finished: Run, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = (
        "explain", finished.folder, tree / "images" / "class0" / "000.png", tree / "images" / "class1" / "000.png",
        "--method", "gradcam, specks", "--layers", "first,last", "--target", "class2", "--set", "specks.amount=0.5",
        "--seed", 7, "--chunk", 2, "--out", out, "--device", "cpu",
    )  # fmt: skip
    result = foveate(*command)
    assert result.exit_code == 0, result.output
    assert "6 maps of 2 pictures" in said(result)
    assert str(out / "sheet.html") in said(result)
    assert "class1/000.png" in said(result)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert [column["name"] for column in manifest["columns"]] == ["gradcam@first", "gradcam@last", "specks"]
    assert manifest["methods"]["specks"]["settings"] == {"amount": 0.5}
    assert manifest["methods"]["gradcam"]["chunk"] == 2
    assert manifest["seed"] == 7
    assert {picture["answers"][0]["target"] for picture in manifest["pictures"]} == {"class2"}
    again = foveate(*command)
    assert again.exit_code == 0, again.output
    assert "2 of 2 pictures are explained already" in said(again)


def test_explain_the_test_pictures_on_which_runs_agree(finished: Run, tmp_path: Path) -> None:
    result = foveate("explain", finished.folder, "--agreeing", 1, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "1 map of 1 picture:" in said(result)


def test_a_broken_picture_does_not_keep_the_others(finished: Run, tree: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "some", tmp_path / "out"
    shutil.copytree(tree / "images" / "class0", folder)
    count = len(list(folder.iterdir()))
    whole = (folder / "002.png").read_bytes()
    (folder / "002.png").write_bytes(whole[: len(whole) // 2])
    (folder / "note.png").write_bytes(b"no picture")
    result = foveate("explain", finished.folder, folder, "--out", out)
    assert result.exit_code == 1
    assert f"{count - 1} maps of {count - 1} pictures" in said(result)
    assert "002.png" in said(result)
    assert f"2 of {count + 1} pictures cannot be read and are not explained" in said(result)
    done = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert [entry["path"] for entry in done["unreadable"]] == ["002.png", "note.png"]
    assert len(done["pictures"]) == len(list((out / "maps").iterdir())) == count - 1
    (folder / "002.png").write_bytes(whole)
    (folder / "note.png").unlink()
    again = foveate("explain", finished.folder, folder, "--out", out)
    assert again.exit_code == 0, again.output
    assert f"{count - 1} of {count} pictures are explained already" in said(again)


def test_stopped_it_says_how_to_go_on(finished: Run, tree: Path, tmp_path: Path) -> None:
    result = foveate(
        "explain", finished.folder, tree / "images", "--method", "stopped", "--out", tmp_path / "o"
    )
    assert result.exit_code == 130
    assert "the same command goes on" in said(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "TREE"), "nowhere is not a run folder"),
        (("RUN",), "Name pictures or folders to explain"),
        (("RUN", "TREE", "--agreeing", "2"), "not both"),
        (("RUN", "TREE", "--method", "gradcan"), "no explanation method 'gradcan'; did you mean gradcam"),
        (("RUN", "TREE", "--layers", "third"), "third"),
        (
            ("RUN", "TREE", "--method", "specks", "--layers", "last"),
            "specks explains pixels and has no layer",
        ),
        (("RUN", "TREE", "--target", "tulip"), "target is 'tulip'"),
        (("RUN", "TREE", "--evidence", "some"), "evidence must be 'positive' or 'absolute'"),
        (("RUN", "TREE", "--set", "amount=3"), "--set takes method.setting=value"),
        (("RUN", "TREE", "--set", "specks.amount=3"), "settings for specks, which is not among"),
        (("RUN", "TREE", "--method", "specks", "--set", "specks.number=3"), "number is no setting"),
        (("RUN", "TREE", "--compare", "RUN"), "is named twice"),
        (("RUN", "empty"), "No picture in"),
        (("RUN", "bad"), "bad.png cannot be read"),
        (("RUN", "missing.png"), "missing.png does not exist"),
        (("RUN", "TREE", "--out", "bad"), "holds other files (bad.png)"),
    ],
)
def test_errors_are_one_sentence_and_status_1(
    arguments: tuple[str, ...], message: str, finished: Run, tree: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bad.png").write_bytes(b"no picture")
    names = {"RUN": str(finished.folder), "TREE": str(tree / "images" / "class0")}
    words = [names.get(word, word) for word in arguments]
    result = foveate("explain", *(words if "--out" in words else [*words, "--out", "new"]))
    assert result.exit_code == 1, result.output
    assert message in said(result)
    assert result.output.startswith("error ")
    assert "Traceback" not in result.output
    assert not (tmp_path / "new" / "maps").exists()


def test_one_line_for_every_explainer() -> None:
    result = foveate("list", "explainers")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.output.splitlines()}
    assert list(lines) == list(EXPLAINERS)
    for name, kind in EXPLAINERS.items():
        assert ("at a layer" in lines[name]) == kind.layered
        assert ("  slow  " in lines[name]) == kind.slow
        assert len(lines[name].split()) > 3, "it says what it is"
    assert lines["specks"].endswith("Noise.")
    only = foveate("list", "explainers", "grad").output.splitlines()
    assert [line.split()[0] for line in only] == [name for name in EXPLAINERS if "grad" in name]
    assert foveate("list", "explainers", "no such").output == ""


def test_first_sentence() -> None:
    assert first_sentence("ReLU(sum a), a = 0.5 of ``g``. Source: A. B.") == "ReLU(sum a), a = 0.5 of g."
    assert first_sentence("One\n    line. Two.") == "One line."
    assert first_sentence(None) == ""


def test_the_overlay_keeps_the_resolution(finished: Run, tmp_path: Path) -> None:
    Image.new("RGB", (301, 97), "navy").save(tmp_path / "wide.jpg")
    result = foveate("explain", finished.folder, tmp_path / "wide.jpg", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "out" / "overlays" / "gradcam-last" / "wide.jpg.png") as image:
        assert image.size == (301, 97)
