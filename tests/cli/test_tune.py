"""foveate tune as a user types it: what it prints, what it writes, and several workers on one search."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from foveate.cli.main import app
from foveate.experiment import Run

pytest.importorskip("optuna")

SEARCH = """
experiment:
  data: {augment: basic}
  training: {precision: fp32, batch_size: 16, checkpoint_seconds: 0.0, phases: [{name: only, epochs: 2}]}
space:
  training.phases.0.lr: {low: 1e-3, high: 0.03, log: true}
  model.head.dropout: {choices: [0, 0.3]}
pruner: none
"""
FLAGS = (
    "--backbone",
    "foveate_small_cnn",
    "--weights",
    "none",
    "--size",
    "32",
    "--device",
    "cpu",
    "--seed",
    "3",
)


def foveate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "search.yaml"
    path.write_text(SEARCH)
    return path


@pytest.mark.slow
def test_the_whole_way(tree: Path, tmp_path: Path, file: Path) -> None:
    out = tmp_path / "search"
    command = ("tune", tree, "--config", file, "--out", out, *FLAGS)
    result = foveate(*command, "--trials", 2)
    assert result.exit_code == 0, result.output
    text = said(result)
    assert "2 trials, maximizing val_accuracy on " in text
    assert "Trial 1 of 2 (lr " in text
    assert "therefore optimistic" in text
    assert f"foveate train {tree} --config {out / 'best.yaml'} --out {out / 'best'}" in text
    experiment = Run.open(out / "trials" / "1").experiment
    assert (experiment.seed, experiment.data.size, experiment.data.augment.preset) == (3, 32, "basic")
    assert set(Run.open(out / "trials" / "1").result["metrics"]) == {"val"}

    # More trials; the first two stay.
    before = {path: path.read_bytes() for path in (out / "trials").glob("*/result.json")}
    result = foveate(*command, "--trials", 5)
    assert result.exit_code == 0, result.output
    assert "The 5 best trials" in result.output
    assert before == {path: path.read_bytes() for path in before}
    assert sorted(path.name for path in (out / "trials").iterdir()) == ["0", "1", "2", "3", "4"]
    lines = (out / "trials.csv").read_text().splitlines()
    assert (
        lines[0]
        == "trial,state,val_accuracy,epochs,seconds,copy_of,error,training.phases.0.lr,model.head.dropout"
    )
    assert [line.split(",")[:2] for line in lines[1:]] == [[str(n), "complete"] for n in range(5)]

    assert foveate("train", tree, "--config", out / "best.yaml", "--out", out / "best").exit_code == 0
    best = Run.open(out / "best")
    values = yaml.safe_load((out / "best.yaml").read_text())
    assert set(best.result["metrics"]) == {"val", "test"}
    assert best.experiment.to_dict() == values


@pytest.mark.slow
@pytest.mark.timeout(900)  # three processes load torch
def test_ctrl_c_with_two_workers_is_status_130_and_loses_nothing(
    tree: Path, tmp_path: Path, file: Path
) -> None:
    file.write_text(SEARCH.replace("epochs: 2", "epochs: 400"))
    out = tmp_path / "search"
    words = [
        sys.executable,
        "-m",
        "foveate",
        "tune",
        str(tree),
        "--config",
        str(file),
        "--out",
        str(out),
        *FLAGS,
    ]
    process = subprocess.Popen(
        [*words, "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(list((out / "trials").glob("*/history.csv"))) < 2 and process.poll() is None:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stdout + stderr
    assert "Run the same command again to go on." in stderr
    assert "Traceback" not in stdout + stderr
    assert len(list((out / "trials").glob("*/checkpoint/saved-*"))) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("val_loss", "test_accuracy"), "tuning on the test split is not possible"),
        (
            ("phases.0.lr", "phases.0.rate"),
            "space.training.phases.0.rate does not exist: 'training.phases.0' of the",
        ),
        (
            ("{low: 1e-3, high: 0.03, log: true}", "3"),
            "search.yaml: space.training.phases.0.lr",
        ),
        (("pruner", "prune"), "prune is no setting"),
        (("batch_size: 16", "batchsize: 16"), "training.batchsize is no setting"),
    ],
)
def test_errors_come_before_anything_is_made(
    change: tuple[str, str], message: str, tmp_path: Path, file: Path, tree: Path
) -> None:
    file.write_text((SEARCH + "metric: val_loss\n").replace(*change))
    result = foveate("tune", tree, "--config", file, "--out", tmp_path / "search", *FLAGS)
    assert result.exit_code == 1
    assert message in said(result)
    assert result.output.startswith("error ")
    assert not (tmp_path / "search").exists()
