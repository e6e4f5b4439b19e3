"""The command that trains, with a tracker in a new run folder."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from foveate.cli.main import app


def test_tensorboard_in_a_new_run_folder(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    command = ["train", str(tree), "--out", str(tmp_path / "run"), "--weights", "none", "--size", "32"]
    command += ["--backbone", "foveate_small_cnn", "--epochs", "1", "--track", "tensorboard"]
    command += ["--set", "training.precision=fp32"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    assert (tmp_path / "run" / "result.json").is_file()
