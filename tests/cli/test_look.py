"""foveate look on a finished run: what is printed and written."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foveate.cli.main import app
from foveate.cli.screen import out
from foveate.experiment import Run


def test_tables_and_files(finished: Run, tmp_path: Path) -> None:
    found = CliRunner().invoke(
        app,
        ["look", str(finished.folder), "--methods", "gradcam,eigencam", "--limit", "4", "--out", str(tmp_path / "o"),
         "--metrics", "localisation,faithfulness,sanity", "--set", "faithfulness.steps=2", "--set",
         "faithfulness.road=[0.5]", "--set", "sanity.attack_steps=1", "--set", "sanity.draws=1",
         "--target", "true"],
        env={"COLUMNS": "200"},
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    for word in (
        "4 pictures",
        "true class",
        "Localisation",
        "Faithfulness",
        "Sanity",
        "chance",
        "random map",
        "edges",
    ):
        assert word in found.output, word
    written = json.loads((tmp_path / "o" / "look.json").read_text(encoding="utf-8"))
    assert written["target"] == "true"
    assert set(written["rows"]) == {
        "gradcam",
        "eigencam",
        "random map",
        "centred Gaussian",
        "edges",
        "graph saliency",
        "whitening saliency",
        "chance",
    }
    assert len((tmp_path / "o" / "look_pictures.csv").read_text(encoding="utf-8").splitlines()) == 1 + 4 * 8


def test_a_method_whose_maps_are_constant_keeps_its_row(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head of zeros has no gradient: Grad-CAM is zero everywhere; the picture's own energy is not."""
    import torch

    run = Run.open(finished.folder)
    with torch.no_grad():
        for parameter in run.model.head.parameters():
            parameter.zero_()
    monkeypatch.setattr(Run, "open", classmethod(lambda cls, folder: run))
    found = CliRunner().invoke(
        app,
        ["look", str(finished.folder), "--methods", "gradcam,eigencam", "--limit", "2", "--metrics", "localisation",
         "--out", str(tmp_path)],
        env={"COLUMNS": "200"},
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    rows = [
        line.split()[:3]
        for line in found.output.splitlines()
        if line.split()[:1] in (["gradcam"], ["eigencam"])
    ]
    assert [(row[0], row[2]) for row in rows[:2]] == [("gradcam", "0"), ("eigencam", "2")]
    assert "gradcam was not measured: its map of each of the 2 pictures is constant." in found.output
    written = json.loads((tmp_path / "look.json").read_text(encoding="utf-8"))["rows"]["gradcam"]
    assert written["scores"] == {}
    assert written["reason"] == "its map of each of the 2 pictures is constant"


def test_errors_are_sentences(finished: Run) -> None:
    found = CliRunner().invoke(app, ["look", str(finished.folder), "--methods", "gradcan"])
    assert found.exit_code == 1
    assert "did you mean gradcam" in found.output
    found = CliRunner().invoke(app, ["look", str(finished.folder), "--target", "other", "--limit", "2"])
    assert found.exit_code == 1
    assert "target" in found.output


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_table_is_cut_by_a_narrow_screen(
    columns: int, finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(out, "_width", columns)
    found = CliRunner().invoke(
        app,
        ["look", str(finished.folder), "--methods", "gradcam,eigencam,layercam", "--limit", "2",
         "--metrics", "localisation,faithfulness,sanity", "--set", "sanity.steps=2"],
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "…" not in found.output
    words = " ".join(found.output.split())
    for title in ("box IoU", "pixel AUC", "infidelity", "deletion", "sensitivity-max", "whitening saliency"):
        assert title in words, title
    rows = [line for line in found.output.splitlines() if line.split()[:1] == ["eigencam"]]
    # One line for each part of each table; on a wide screen one part is enough.
    assert len(rows) == 3 if columns == 200 else len(rows) > 3
    assert all(len(line) <= columns for line in rows)
