"""foveate pretext, and foveate train --from."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from foveate.cli.main import app
from foveate.experiment import Run

SMALL = ["--backbone", "foveate_small_cnn", "--size", "32", "--set", "training.precision=fp32"]


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def learnt(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "pretext"
    result = call(
        "pretext",
        tree,
        "--task",
        "perturbation",
        "--out",
        out,
        *SMALL,
        "--epochs",
        "1",
        "--set",
        "task.side=8",
    )
    assert result.exit_code == 0, result.output
    assert "perturbation, test: accuracy" in result.output
    assert "nearest training pictures" in result.output
    assert f"--from {out}" in result.output.replace("\n", " ")
    return out


def test_pretext_takes_its_settings(learnt: Path) -> None:
    run = Run.open(learnt)
    assert (run.experiment.task.side, run.experiment.task.faithful) == (8, False)
    assert run.experiment.model.weights == "none"
    assert len(run.history) == 1


@pytest.mark.parametrize(
    ("flag", "value"), [("--freeze", "backbone"), ("--freeze", "weights"), ("--trunk", "faithful")]
)
def test_train_from_it_with_a_frozen_backbone(
    flag: str, value: str, learnt: Path, tree: Path, tmp_path: Path
) -> None:
    """The last is how the flag was called before."""
    out = tmp_path / "run"
    result = call(
        "train", tree, "--from", learnt, flag, value, "--out", out, "--epochs", "2",
        "--set", "training.precision=fp32",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    run = Run.open(out)
    assert [p.trainable for p in run.experiment.training.phases] == ["head"]
    assert run.experiment.training.phases[0].freeze_bn is (value == "backbone")
    assert run.environment["size"] == 32
    assert run.result["metrics"]["test"]["neighbours"]["k"] == 20
    card = json.loads((out / "model.json").read_text(encoding="utf-8"))
    assert card["pretrained_on"] == "random weights, then the pretext task perturbation"


def test_train_from_it_with_fine_tuning_is_the_ordinary_recipe(
    learnt: Path, tree: Path, tmp_path: Path
) -> None:
    result = call(
        "train", tree, "--from", learnt, "--out", tmp_path / "run", "--epochs", "1",
        "--set", "training.phases.0.epochs=1", "--set", "training.precision=fp32",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    phases = Run.open(tmp_path / "run").experiment.training.phases
    assert [p.trainable for p in phases] == ["head", "all"]


def test_what_cannot_be_started_from_is_told(tree: Path, learnt: Path, tmp_path: Path) -> None:
    result = call("train", tree, "--from", tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "is not a run folder" in result.output.replace("\n", " ")
    result = call("train", tree, "--from", learnt, "--weights", "none", "--out", tmp_path / "run")
    assert "brings its own weights" in result.output.replace("\n", " ")
    result = call("pretext", tree, "--task", "turning", "--out", tmp_path / "run")
    assert "There is no pretext task 'turning'" in result.output.replace("\n", " ")
