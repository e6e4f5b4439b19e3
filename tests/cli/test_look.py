"""foveate look on a finished run: what is printed and written."""

import json
from pathlib import Path

from typer.testing import CliRunner

from foveate.cli.main import app
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
        "chance",
    }
    assert len((tmp_path / "o" / "look_pictures.csv").read_text(encoding="utf-8").splitlines()) == 1 + 4 * 6


def test_errors_are_sentences(finished: Run) -> None:
    found = CliRunner().invoke(app, ["look", str(finished.folder), "--methods", "gradcan"])
    assert found.exit_code == 1
    assert "did you mean gradcam" in found.output
    found = CliRunner().invoke(app, ["look", str(finished.folder), "--target", "other", "--limit", "2"])
    assert found.exit_code == 1
    assert "target" in found.output
